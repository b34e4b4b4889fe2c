package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// transport returns the HTTP client to use. Redirects are never followed: a batch goes where the operator said.
func transport(o *Options) *http.Client {
	hc := &http.Client{}
	if o.HTTPClient != nil {
		*hc = *o.HTTPClient
	} else {
		hc.Transport = &http.Transport{
			DialContext:         (&net.Dialer{Timeout: o.Timeout, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: o.InFlightMax + 1,
			IdleConnTimeout:     90 * time.Second,
			TLSHandshakeTimeout: o.Timeout,
			DisableCompression:  true, // Answers are small, and the way is short.
		}
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return hc
}

// postOffline makes the call and returns how many devices went offline.
func (c *Client) postOffline(ctx context.Context) (devices int, _ *UnavailableError) {
	r, err := c.call(ctx, http.MethodPost, askedOffline, nil, 0, answerBytesMin)
	if err != nil {
		return 0, err
	}
	var a struct {
		Devices *int `json:"devices"`
	}
	if err := json.Unmarshal(r.body, &a); err != nil || a.Devices == nil || *a.Devices < 0 {
		return 0, &UnavailableError{
			Ambiguous: true,
			Status:    http.StatusOK,
			Err:       errors.New("offline: the answer names no number of devices"),
		}
	}
	return *a.Devices, nil
}

// reply is a 200.
type reply struct {
	from     *node
	body     []byte
	isBatch  bool // it is what batches are answered with
	replayed bool // it was given before
}

// verdicts reads the answer to a batch of n events.
func (r *reply) verdicts(n int) ([]Verdict, error) {
	if !r.isBatch {
		return nil, fmt.Errorf("answer: %.80q is not %s", r.body, contentType)
	}
	return parseAnswer(r.body, n)
}

// call makes one request to the node that is asked now, and leaves that when it fails.
func (c *Client) call(
	ctx context.Context, method string, what asked, body []byte, sequence uint64, answerBytesMax int,
) (reply, *UnavailableError) {
	ctx, cancel := c.withTry(ctx)
	defer cancel()
	n := c.nodes.current()
	r, err := c.callAt(ctx, method, n.urls[what], body, sequence, answerBytesMax)
	if failed(err) {
		c.nodes.leave(n)
	}
	r.from = n
	return r, err
}

// callAt makes one request and returns the body of a 200, at most answerBytesMax bytes of it. sequence is sent unless
// it is 0, which goOn never hands out. Ambiguous in the error is about this request alone.
func (c *Client) callAt(
	ctx context.Context, method, url string, body []byte, sequence uint64, answerBytesMax int,
) (reply, *UnavailableError) {
	var sent atomic.Bool // whether a connection was there to send on
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { sent.Store(true) },
	})
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return reply{}, &UnavailableError{Err: fmt.Errorf("build request: %w", err)}
	}
	maps.Copy(req.Header, c.header)
	if sequence != 0 {
		req.Header["Meterd-Sequence"] = []string{strconv.FormatUint(sequence, 10)}
	}
	resp, err := c.http.Do(req) // The transport repeats a POST by itself only if it wrote not one byte of it.
	if err != nil {
		return reply{}, &UnavailableError{Ambiguous: sent.Load(), Err: err}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(answerBytesMax)+1))
	if resp.StatusCode != http.StatusOK {
		return reply{}, refusal(resp, answer)
	}
	if err != nil {
		return reply{}, &UnavailableError{Ambiguous: true, Status: resp.StatusCode, Err: fmt.Errorf("read answer: %w", err)}
	}
	if len(answer) > answerBytesMax {
		return reply{}, &UnavailableError{
			Ambiguous: true,
			Status:    resp.StatusCode,
			Err:       fmt.Errorf("answer is over %d bytes", answerBytesMax),
		}
	}
	return reply{
		body:     answer,
		isBatch:  resp.Header.Get("Content-Type") == contentType,
		replayed: resp.Header.Get("Meterd-Replayed") == "true",
	}, nil
}

// contentType is that of batches and of their answers.
const contentType = "application/x-protobuf"

// header returns what every request of o says about itself.
func header(o *Options) http.Header {
	h := http.Header{"Content-Type": {contentType}, "Meterd-Producer": {o.Producer}}
	if o.Token != "" {
		h.Set("Authorization", "Bearer "+o.Token)
	}
	return h
}

// refusal turns an answer that is no 200 into an error. A 503 of meterd's and all of 3xx and 4xx promise that nothing
// was counted. Another 5xx, and a 503 without a code, may come from something between here and meterd that had handed
// the request on; they promise nothing, nor does a 2xx that is not in the contract.
func refusal(resp *http.Response, answer []byte) *UnavailableError {
	return unavailable(problemOf(resp, answer))
}

func unavailable(p *Problem) *UnavailableError {
	isRefused := p.Status >= 300 && p.Status < 500 || p.Status == http.StatusServiceUnavailable && p.Code != ""
	return &UnavailableError{Ambiguous: !isRefused, Status: p.Status, RetryAfter: p.RetryAfter, Err: p}
}
