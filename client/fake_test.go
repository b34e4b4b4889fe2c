package client

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// line is one event as the fake meterd reads it.
type line struct {
	Type, Product, Device, Topic, ID string
	Payload                          string `json:"payload"`
	PayloadBase64                    []byte `json:"payload_base64"`
	Size                             *int64
	Time                             *time.Time
}

// request is what reached the fake, and where it goes.
type request struct {
	path     string
	producer string
	sequence string
	token    string
	body     string
	lines    []line
}

// fakeMeterd is an http.RoundTripper: no socket, so that it runs on synctest's clock.
type fakeMeterd struct {
	latency time.Duration
	// answer, when it is set, answers instead of "all accepted"; it may fail, and is called one request at a time.
	answer func(n int, r request) (*http.Response, error)
	// producer, when it is set, answers how far the producer's sequences are, instead of "not known yet". Neither latency
	// nor requests are about that question.
	producer func() (*http.Response, error)

	mu       sync.Mutex
	requests []request
	atOnce   map[string]int // device → batches in flight that carry it
	overlap  error          // set when one device was in two batches at once
}

func (f *fakeMeterd) RoundTrip(hr *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(hr.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if hr.Method == http.MethodGet {
		return f.lastSequence()
	}
	body, err := io.ReadAll(hr.Body)
	if err != nil {
		return nil, err
	}
	r := request{
		path: hr.URL.Path, producer: hr.Header.Get("Meterd-Producer"), sequence: hr.Header.Get("Meterd-Sequence"),
		token: hr.Header.Get("Authorization"), body: string(body),
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	for dec.More() {
		var l line
		if err := dec.Decode(&l); err != nil {
			return nil, fmt.Errorf("the fake cannot read its request: %w", err)
		}
		r.lines = append(r.lines, l)
	}
	f.enter(r, 1)
	defer f.enter(r, -1)
	f.mu.Lock()
	latency := f.latency
	f.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-hr.Context().Done():
		return nil, hr.Context().Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r)
	if f.answer != nil {
		return f.answer(len(f.requests), r)
	}
	return acceptAll(r), nil
}

func (f *fakeMeterd) lastSequence() (*http.Response, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.producer != nil {
		return f.producer()
	}
	return respond(404, `{"code":"not_found"}`), nil
}

func (f *fakeMeterd) enter(r request, by int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.atOnce == nil {
		f.atOnce = map[string]int{}
	}
	seen := map[string]bool{}
	for _, l := range r.lines {
		if seen[l.Device] {
			continue
		}
		seen[l.Device] = true
		f.atOnce[l.Device] += by
		if f.atOnce[l.Device] > 1 {
			f.overlap = fmt.Errorf("device %s is in %d batches at once", l.Device, f.atOnce[l.Device])
		}
	}
}

// devicesSizes returns, a device, the sizes in the order they arrived.
func (f *fakeMeterd) sizes() map[string][]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := map[string][]int64{}
	for _, r := range f.requests {
		for _, l := range r.lines {
			if l.Size != nil {
				m[l.Device] = append(m[l.Device], *l.Size)
			}
		}
	}
	return m
}

func respond(status int, body string, headers ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func acceptAll(r request) *http.Response {
	if strings.HasSuffix(r.path, "/offline") {
		return respond(200, `{"devices":3}`)
	}
	return respond(200, fmt.Sprintf(`{"accepted":%d,"denied":[]}`, len(r.lines)))
}

// errCut is a connection that broke after the request went out.
var errCut = errors.New("connection cut")
