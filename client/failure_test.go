package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// answers of a fake, for tables.
type answers func(n int, r request) (*http.Response, error)

func status(code int, body string, header ...string) answers {
	return func(int, request) (*http.Response, error) { return respond(code, body, header...), nil }
}

func cutOff(int, request) (*http.Response, error) { return nil, errCut }

// thenWell fails twice and accepts everything then.
func (a answers) thenWell(n int, r request) (*http.Response, error) {
	if n < 3 {
		return a(n, r)
	}
	return acceptAll(r), nil
}

// afterDoubt is cut off once, and then answers.
func (a answers) afterDoubt(n int, r request) (*http.Response, error) {
	if n == 1 {
		return nil, errCut
	}
	return a(n, r)
}

// brokenBody fails in the middle.
func brokenBody(int, request) (*http.Response, error) {
	r := respond(200, "")
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"accepted":`), errReader{}))
	return r, nil
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errCut }

func TestWhatIsSentAgain(t *testing.T) {
	const many = -1 // as long as there is time
	overloaded, tooOld := status(
		503,
		`{"code":"overloaded"}`,
		"Retry-After",
		"4",
	), status(
		409,
		`{"code":"sequence_too_old"}`,
	)
	reused, unauthorized := status(422, `{"code":"sequence_reused"}`), status(401, `{"code":"unauthorized","detail":"no"}`)
	cases := []struct {
		name      string
		answer    answers
		requests  int
		isAnswer  bool
		ambiguous bool
		shared    bool
	}{
		{"overloaded, then well", overloaded.thenWell, 3, true, false, false},
		{"overloaded for ever", overloaded, many, false, false, false},
		{"503 of something in between, then well", status(503, "").thenWell, 3, true, false, false},
		{"503 of something in between for ever", status(503, "<html>"), many, false, true, false},
		{"cut after sending, then well", answers(cutOff).thenWell, 3, true, false, false},
		{"cut after sending for ever", cutOff, many, false, true, false},
		{"cut within the answer, then well", answers(brokenBody).thenWell, 3, true, false, false},
		{"bad gateway, then well", status(502, "").thenWell, 3, true, false, false},
		{"bad gateway for ever", status(502, ""), many, false, true, false},
		{"another 2xx for ever", status(204, ""), many, false, true, false},
		{"too few verdicts, then well", status(200, `{"accepted":0,"denied":[]}`).thenWell, 3, true, false, false},
		{"not JSON for ever", status(200, `{"accepted":1`), many, false, true, false},
		{"redirect", status(307, "", "Location", "http://elsewhere.test/"), 1, false, false, false},
		{"unauthorized", unauthorized, 1, false, false, false},
		{"not found", status(404, ""), 1, false, false, false},
		{"unauthorized after doubt", unauthorized.afterDoubt, many, false, true, false},
		{"overloaded after doubt", overloaded.afterDoubt, many, false, true, false},
		{"another conflict", status(409, `{"code":"already_exists"}`), 1, false, false, false},
		{"too old", tooOld, 1, false, false, true},
		{"too old after doubt", tooOld.afterDoubt, 2, false, true, true},
		{"reused", reused, 1, false, false, true},
		{"reused after doubt", reused.afterDoubt, 2, false, false, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMeterd{answer: tc.answer}
				told := 0
				c := newTestClient(t, f, func(o *Options) { o.ProducerShared = func(error) { told++ } })
				defer closeClient(t, c)
				start := time.Now()
				v, err := c.Decide(t.Context(), up("d1", 1))
				if n := len(f.requests); n != tc.requests && (tc.requests != many || n < 8) {
					t.Errorf("%d requests, want %d", n, tc.requests)
				}
				if took := time.Since(start); took > c.opts.Timeout {
					t.Errorf("it took %v", took)
				}
				for _, r := range f.requests {
					if r.sequence == "" || r.sequence != f.requests[0].sequence || r.body != f.requests[0].body {
						t.Errorf("sent again as %+v, first as %+v", r, f.requests[0])
					}
				}
				if tc.isAnswer {
					if err != nil || !v.Accepted {
						t.Errorf("verdict %+v, error %v", v, err)
					}
					return
				}
				var unavailable *UnavailableError
				if !errors.As(err, &unavailable) || !errors.Is(err, ErrUnavailable) || unavailable.Ambiguous != tc.ambiguous {
					t.Errorf("error %v, ambiguous should be %v", err, tc.ambiguous)
				}
				if errors.Is(err, ErrProducerShared) != tc.shared || (told == 1) != tc.shared ||
					(c.Stats().ProducerShared == 1) != tc.shared {
					t.Errorf("error %v, told %d times; the producer should be shared: %v", err, told, tc.shared)
				}
			})
		})
	}
}

// A deadline that is shorter than what meterd asks for with Retry-After must not keep the client from trying again in
// time.
func TestRetryAfterBeyondTheDeadline(t *testing.T) {
	for _, timeout := range []time.Duration{500 * time.Millisecond, 3 * time.Second, 15 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeMeterd{}
			start := time.Now()
			f.answer = func(_ int, r request) (*http.Response, error) {
				if time.Since(start) < timeout*3/4 {
					return respond(503, `{"code":"overloaded"}`, "Retry-After", "4"), nil
				}
				return acceptAll(r), nil
			}
			c := newTestClient(t, f, func(o *Options) { o.Timeout = timeout })
			defer closeClient(t, c)
			if v, err := c.Decide(t.Context(), up("d1", 1)); err != nil || !v.Accepted || time.Since(start) > timeout {
				t.Errorf("timeout %v: %+v, %v after %v", timeout, v, err, time.Since(start))
			}
			if n := len(f.requests); n > 2*retryAfterPart {
				t.Errorf("timeout %v: meterd asked to be left alone and was asked %d times", timeout, n)
			}
		})
	}
}

// What hangs is cut off and asked about again; so a connection that went silent costs a third of Timeout, not all of
// it.
func TestSilentConnectionIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Hour}
		c := newTestClient(t, f, func(o *Options) { o.Timeout = 3 * time.Second })
		defer closeClient(t, c)
		time.AfterFunc(500*time.Millisecond, func() {
			f.mu.Lock()
			f.latency = 0
			f.mu.Unlock()
		})
		start := time.Now()
		if v, err := c.Decide(t.Context(), up("d1", 1)); err != nil || !v.Accepted || time.Since(start) > 2*time.Second {
			t.Errorf("%+v, %v after %v", v, err, time.Since(start))
		}
	})
}

func TestTimeoutIsAmbiguous(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Hour}
		c := newTestClient(t, f, func(o *Options) { o.Timeout = time.Second })
		first, err := c.Begin(t.Context(), up("d1", 1))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		queued, err := c.Begin(t.Context(), up("d1", 2))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var unavailable *UnavailableError
		if _, err := queued.Wait(ctx); !errors.As(err, &unavailable) || unavailable.Ambiguous {
			t.Errorf("given up in the queue: %v, should not be ambiguous", err)
		}
		if _, err := first.Wait(t.Context()); !errors.As(err, &unavailable) || !unavailable.Ambiguous {
			t.Errorf("timed out in flight: %v, should be ambiguous", err)
		}
		closeClient(t, c)
		if s := c.Stats(); s.Requests != triesMin || s.Retries != triesMin-1 || s.Ambiguous != 1 {
			t.Errorf("%+v: what was given up should not have been sent at all", s)
		}
		if _, err := queued.Wait(t.Context()); !errors.Is(err, errGivenUp) {
			t.Errorf("asked again about what was given up: %v", err)
		}
	})
}

// A meterd that stays dead costs the first message its Timeout, and each one after that nothing but its verdict.
func TestDeadMeterdIsLeftAloneForAWhile(t *testing.T) {
	for name, how := range map[string]answers{
		"refuses": status(401, ""), "cuts": cutOff, "starts": status(503, `{"code":"overloaded"}`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var dead atomic.Bool
				dead.Store(true)
				f := &fakeMeterd{}
				f.answer = func(n int, r request) (*http.Response, error) {
					if dead.Load() {
						return how(n, r)
					}
					return acceptAll(r), nil
				}
				c := newTestClient(t, f, nil)
				defer closeClient(t, c)
				start := time.Now()
				for range 100 {
					if _, err := c.Decide(t.Context(), up("d1", 1)); !errors.Is(err, ErrUnavailable) {
						t.Fatalf("error %v", err)
					}
				}
				if took := time.Since(start); took > c.opts.Timeout {
					t.Errorf("a hundred messages waited %v", took)
				}
				dead.Store(false)
				time.Sleep(probeEveryMax)
				if v, err := c.Decide(t.Context(), up("d1", 1)); err != nil || !v.Accepted {
					t.Errorf("when it was back: %+v, %v", v, err)
				}
			})
		})
	}
}
