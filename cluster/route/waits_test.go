package route

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// However long the board promises an owner, and however often it is tried, a request waits for waitMax in all. Here the
// cell was let go of an hour ahead, so that nothing else ends the waiting.
func TestWaitIsBoundedInAll(t *testing.T) {
	r := newRig(t, nil)
	r.waitMax = 10 * time.Millisecond
	r.board.letGo = time.Now().Add(time.Hour)
	resp, text := r.do("POST", "/v1/events", strings.NewReader(`{"type":"up"}`))
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "has no owner now")

	// What an owner has had before it was lost is not counted, what is waited for then is.
	var asked sync.Once
	r.cell(func(w http.ResponseWriter, _ *http.Request) {
		asked.Do(func() { r.board.unset(0) })
		drop(w)
	})
	resp, text = r.do("GET", "/v1/accounts", nil)
	r.wantProblem(resp, text, http.StatusServiceUnavailable, "send it again") // On a slow machine it is not reached.
}

// A request that has waited once does not wait for as long again.
func TestWaitIsAddedUp(t *testing.T) {
	r := newRig(t, nil)
	r.waitMax = waitMax
	r.board.letGo = time.Now().Add(time.Hour)
	var ctx fasthttp.RequestCtx
	_, full := r.until(&ctx)
	hasWaited(&ctx, time.Now().Add(-waitMax/2))
	hasWaited(&ctx, time.Now().Add(-waitMax))
	if begun, until := r.until(&ctx); !until.Before(begun) || !until.Before(full) {
		t.Fatalf("a request that has waited for too long waits until %s, begun at %s", until, begun)
	}
	if _, err := r.reachFor(t.Context(), &ctx, 0); !errors.Is(err, errNoOwner) {
		t.Fatal(err) // An hour later, if ever.
	}
}

// An owner of which nobody hears keeps a request for lostMax: what only reads is answered 503 then, the connection of
// anything else is closed. An owner that is heard again meanwhile keeps it.
func TestLostOwner(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		r := newRig(t, nil)
		has, over := make(chan struct{}), make(chan struct{})
		s := r.cell(func(_ http.ResponseWriter, q *http.Request) {
			_, _ = io.Copy(io.Discard, q.Body)
			has <- struct{}{}
			<-over
		})
		t.Cleanup(func() { close(over) })
		done := make(chan struct{})
		var resp *http.Response
		var text string
		var err error
		go func() {
			defer close(done)
			resp, text, err = r.try(method, "/v1/accounts", nil)
		}()
		<-has
		now := time.Now()
		r.board.unset(0)
		r.links.sweep(now, r.stands)
		r.board.set(0, "n1", s.Listener.Addr().String())
		r.links.sweep(now.Add(2*lostMax), r.stands) // It was heard.
		if r.links.count() != 1 {
			t.Fatal("an owner that is heard has no connection")
		}
		r.board.unset(0)
		r.links.sweep(now.Add(2*lostMax), r.stands)
		r.links.sweep(now.Add(3*lostMax+time.Second), r.stands)
		<-done
		if method == "GET" {
			r.wantProblem(resp, text, http.StatusServiceUnavailable, "has no owner now")
		} else if err == nil {
			t.Errorf("a request that nobody knows the outcome of is answered %d", resp.StatusCode)
		}
	}
}

// A cell that does not answer keeps a list for mergeWithin, and a call that names are given by for as long as its
// caller says.
func TestSilentCellHoldsNoList(t *testing.T) {
	s := newSeveral(t)
	s.mergeIn = 10 * time.Millisecond
	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	s.handler = func(cell int, w http.ResponseWriter, _ *http.Request) bool {
		if cell == 1 {
			<-silent
		}
		_, _ = io.WriteString(w, `{"accounts":[],"dead_letters":[],"next":null}`) // The client may have gone.
		return true
	}
	for _, path := range []string{"/v1/accounts", "/v1/webhooks/w/dead-letters"} {
		resp, text := s.as("admin", "GET", path, "")
		s.wantProblem(resp, text, http.StatusServiceUnavailable, "has no owner that answers now")
	}
}

func TestForwardIsBounded(t *testing.T) {
	r := newRig(t, nil)
	silent := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		<-silent
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(silent) })
	r.board.set(0, "n1", s.Listener.Addr().String())
	within, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, nil, nil)
	ctx.Request.Header.SetMethod("POST")
	ctx.Request.SetRequestURI("/v1/accounts")
	ctx.Request.SetBodyString("{}")
	if err := r.Forward(within, &ctx, 0, 7); err == nil {
		t.Fatal("an owner that is silent has answered")
	}
}

// drop closes a connection without an answer.
func drop(w http.ResponseWriter) {
	if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
		_ = c.Close() // Whether it works or not, there is no answer.
	}
}
