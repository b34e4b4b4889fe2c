package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

// line is one event as the fake meterd reads it.
type line struct {
	Type, Product, Device, Topic, ID, Payload string
	Size                                      *int64 // of what has one
	TimeMs                                    int64
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
	streams  []*fakeSocket
	// handshake, when it is set, answers what would open a stream
	handshake *http.Response
	acked     int      // commands
	pongs     []string // their payloads
}

func (f *fakeMeterd) RoundTrip(hr *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(hr.Context()); trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	f.mu.Lock()
	handshake := f.handshake
	f.mu.Unlock()
	switch {
	case hr.Header.Get("Upgrade") != "" && handshake != nil:
		return handshake, nil
	case hr.Header.Get("Upgrade") != "":
		return f.upgrade(hr)
	case hr.Method == http.MethodGet:
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
	if r.isBatch() {
		if r.lines, err = readBatch(body); err != nil {
			return nil, err
		}
	}
	return f.decide(r, hr.Context().Done())
}

func (r *request) isBatch() bool { return strings.HasSuffix(r.path, "/events") }

// decide answers r, unless its caller is gone first.
func (f *fakeMeterd) decide(r request, gone <-chan struct{}) (*http.Response, error) {
	f.enter(r, 1)
	defer f.enter(r, -1)
	f.mu.Lock()
	latency := f.latency
	f.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-gone:
		return nil, context.Canceled
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r)
	resp := acceptAll(r)
	if f.answer != nil {
		var err error
		if resp, err = f.answer(len(f.requests), r); err != nil {
			return nil, err
		}
	}
	if r.isBatch() && resp.StatusCode == http.StatusOK {
		encodeAnswer(resp)
	}
	return resp, nil
}

// readBatch reads a meterd.v1.Batch as the daemon does.
func readBatch(body []byte) (lines []line, err error) {
	var b event.Batch
	if p := wire.DecodeProtobuf(&b, body); p != nil {
		return nil, fmt.Errorf("the fake cannot read its request: %s", p.Detail)
	}
	text := func(r event.Ref) string { return string(b.Bytes(r)) }
	for i := range b.Events {
		e := &b.Events[i]
		l := line{
			Type: e.Type.String(), Product: text(e.Product), Device: text(e.Device), Topic: text(e.Topic), ID: text(e.ID),
			Payload: text(e.Payload), TimeMs: e.TimeMs,
		}
		if sized(e.Type) {
			l.Size = &e.Size
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// encodeAnswer makes the JSON that tests answer with the protobuf that it stands for. What is no answer is left as it
// is.
func encodeAnswer(resp *http.Response) {
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return // It breaks off.
	}
	resp.Header.Set("Content-Type", contentType)
	var a struct {
		Accepted uint64
		Denied   []struct {
			Index                                  uint64
			Code, Scope, Field, Detail             string
			Limit, Used, Requested, TopupAvailable uint64
			ResetsAt                               time.Time `json:"resets_at"`
		}
	}
	if json.Unmarshal(body, &a) == nil {
		body = appendAnswerUint(nil, 1, a.Accepted)
		for _, d := range a.Denied {
			denial := appendField(appendAnswerUint(nil, 1, d.Index), 2, d.Code)
			denial = appendAnswerUint(appendAnswerUint(denial, 3, d.Limit), 4, d.Used)
			if !d.ResetsAt.IsZero() {
				denial = appendAnswerUint(denial, 7, uint64(d.ResetsAt.UnixMilli()))
			}
			denial = appendField(appendField(appendField(denial, 8, d.Scope), 9, d.Field), 10, d.Detail)
			body = appendField(body, 2, denial)
		}
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
}

func appendAnswerUint(dst []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(append(dst, byte(field<<3)), v)
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
