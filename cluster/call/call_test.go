package call

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/event"
)

type sum struct {
	A int `json:"a"`
	B int `json:"b"`
}

func server(t *testing.T, c *Client, cell int, methods map[string]Method) *Server {
	t.Helper()
	s, err := Serve(c, cell, methods, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nearlyOver is a context that has no time left to ask once more, and is not over however slow the machine is.
type nearlyOver struct{ context.Context }

func (nearlyOver) Deadline() (time.Time, bool) { return time.Now().Add(tryMin / 2), true }

// Over a real server: an answer, a problem with all it says, an error that is not answered, nobody at all.
func TestCall(t *testing.T) {
	ns, err := embedded.Start(t.Context(), embedded.Options{Cluster: "test", Node: "n1", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	c := &Client{Bus: NATS{ns.Conn()}, Cluster: "test"}
	var flaky atomic.Int32
	s := server(t, c, 3, map[string]Method{
		"add": Handle(func(r sum) (any, error) { return r.A + r.B, nil }),
		"refuse": Handle(func(sum) (any, error) {
			return nil, &event.Problem{Code: event.AlreadyExists, Field: "account", Detail: "account acme exists"}
		}),
		"flaky": Handle(func(r sum) (any, error) {
			if flaky.Add(1) == 1 {
				return nil, errors.New("the engine has stopped")
			}
			return r.A, nil
		}),
	})
	defer s.Close()

	if n, err := Once[int](t.Context(), c, 3, "add", sum{2, 3}); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	var p *event.Problem
	_, err = Once[int](t.Context(), c, 3, "refuse", sum{})
	if !errors.As(err, &p) || p.Code != event.AlreadyExists || p.Field != "account" || p.Detail != "account acme exists" {
		t.Fatal(err)
	}
	if n, err := Again[int](t.Context(), c, 3, "flaky", sum{A: 7}); n != 7 || err != nil || flaky.Load() != 2 {
		t.Fatal(n, err, flaky.Load())
	}
	if _, err = Once[int](nearlyOver{t.Context()}, c, 4, "add", sum{}); !errors.As(err, &p) || p.Code != event.Overloaded {
		t.Fatalf("a cell without an owner: %v", err)
	}
}

// A call whose cell has no owner yet is answered when it has one.
func TestCallAwaitsAnOwner(t *testing.T) {
	c := &Client{Bus: NewMemory(), Cluster: "test"}
	done := make(chan error)
	go func() {
		_, err := Once[int](t.Context(), c, 0, "add", sum{})
		done <- err
	}()
	s := server(t, c, 0, map[string]Method{"add": Handle(func(sum) (any, error) { return 0, nil })})
	defer s.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// handing is a bus on which the first request comes to a server that was closed, and whatever follows to the next one.
type handing struct {
	*Memory
	next func()
}

// Serve implements Bus.
func (h *handing) Serve(subject string, fn func([]byte, func([]byte) error)) (stop func() error, err error) {
	end, err := h.Memory.Serve(subject, nil)
	if err != nil {
		return nil, err
	}
	h.served[subject][0].fn = func(b []byte, reply func([]byte) error) {
		_ = end() // It never fails.
		h.next()
		fn(b, reply)
	}
	return func() error { return nil }, nil
}

// A call that reaches an owner as it goes is the next owner's, even if it may be made once only.
func TestCallGoesToTheNextOwner(t *testing.T) {
	h := &handing{Memory: NewMemory()}
	methods := map[string]Method{"add": Handle(func(r sum) (any, error) { return r.A, nil })}
	last := server(t, &Client{Bus: h, Cluster: "test"}, 0, methods)
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	c := &Client{Bus: h.Memory, Cluster: "test"}
	h.next = func() { server(t, c, 0, methods) }
	if n, err := Once[int](t.Context(), c, 0, "add", sum{A: 5}); n != 5 || err != nil {
		t.Fatal(n, err)
	}
}

// Whatever comes is a request or an answer, or is refused.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"method":"reserve","body":{"a":1}}`))
	f.Add([]byte(`{"version":1,"body":{"a":1}}`))
	f.Add([]byte(`{"version":1,"problem":{"code":37,"field":"f","detail":"d"}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"problem":{"code":255}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRequest(b); err == nil && r.Version != version {
			t.Fatal(r)
		}
		var body json.RawMessage
		err := decodeAnswer(b, &body)
		var p *event.Problem
		if errors.As(err, &p) && (p.Code.String() == "" || p.Code == event.Accepted) {
			t.Fatal(p)
		}
	})
}
