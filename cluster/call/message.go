package call

import (
	"encoding/json"
	"fmt"

	"github.com/meterd/meterd/event"
)

// version is that of requests and answers.
const version = 1

type request struct {
	Version int             `json:"version"`
	Method  string          `json:"method"`
	Body    json.RawMessage `json:"body"`
}

type answer struct {
	Version int             `json:"version"`
	Body    json.RawMessage `json:"body,omitempty"`
	Problem *problem        `json:"problem,omitempty"`
	Gone    bool            `json:"gone,omitempty"` // the node owns the cell no longer, and has done nothing
}

type problem struct {
	Code   event.Code `json:"code"`
	Field  string     `json:"field,omitempty"`
	Detail string     `json:"detail,omitempty"`
}

func encode(what any) ([]byte, error) {
	b, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("encode a call: %w", err)
	}
	if len(b) > messageBytesMax {
		return nil, fmt.Errorf("a call has %d bytes, more than %d", len(b), messageBytesMax)
	}
	return b, nil
}

func decodeRequest(b []byte) (r request, err error) {
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("read a request: %w", err)
	}
	if r.Version != version {
		return r, fmt.Errorf("a request has version %d, this program knows %d", r.Version, version)
	}
	return r, nil
}

// decodeAnswer reads an answer into to. A problem of it is its error; so is ErrNobody.
func decodeAnswer(b []byte, to any) error {
	var a answer
	if err := json.Unmarshal(b, &a); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	switch p := a.Problem; {
	case a.Version != version:
		return fmt.Errorf("an answer has version %d, this program knows %d", a.Version, version)
	case a.Gone:
		return ErrNobody
	case p != nil && (p.Code == event.Accepted || p.Code >= event.Codes):
		return fmt.Errorf("an answer has the code %d, which this program does not know", p.Code)
	case p != nil:
		return &event.Problem{Code: p.Code, Field: p.Field, Detail: p.Detail}
	}
	if err := json.Unmarshal(a.Body, to); err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return nil
}
