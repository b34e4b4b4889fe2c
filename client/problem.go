package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is an answer that refuses: RFC 9457 with what meterd adds, or what can be said of an answer that is none.
type Problem struct {
	Status int // of HTTP
	// stable, to be compared; "" when something else than meterd answered. New codes may appear.
	Code       string
	Title      string          // the code in words
	Detail     string          // what is wrong with this request
	Field      string          // the member, parameter or name that is wrong, if it is one
	RetryAfter time.Duration   // how long to stay away, 0 if nothing was said
	Body       json.RawMessage // the whole problem, nil without a Code
}

// Error returns the code and the detail.
func (p *Problem) Error() string {
	switch {
	case p.Code == "":
		return fmt.Sprintf("status %d", p.Status)
	case p.Detail == "":
		return fmt.Sprintf("status %d %s: %s", p.Status, p.Code, p.Title)
	}
	return fmt.Sprintf("status %d %s: %s", p.Status, p.Code, p.Detail)
}

// problemOf returns what resp, whose body is answer, refuses with.
func problemOf(resp *http.Response, answer []byte) *Problem {
	p := &Problem{Status: resp.StatusCode}
	if s, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After"))); err == nil && s > 0 {
		p.RetryAfter = time.Duration(min(s, retryAfterMaxSeconds)) * time.Second
	}
	var said struct{ Code, Title, Detail, Field string }
	if json.Unmarshal(answer, &said) == nil && said.Code != "" {
		p.Code, p.Title, p.Detail, p.Field, p.Body = said.Code, said.Title, said.Detail, said.Field, answer
	}
	return p
}

// readProblem reads the refusal that resp is. A body that cannot be read leaves the status.
func readProblem(resp *http.Response) *Problem {
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, problemBytesMax))
	return problemOf(resp, answer)
}
