package client

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestRefusalsAreSentAgainAfter503Only(t *testing.T) {
	cases := []struct {
		name      string
		answer    func() (*http.Response, error)
		requests  int
		ambiguous bool
	}{
		{"overloaded, then well", nil, 3, false},
		{"cut after sending", func() (*http.Response, error) { return nil, errCut }, 1, true},
		{"bad gateway", func() (*http.Response, error) { return respond(502, ""), nil }, 1, true},
		{"redirect", func() (*http.Response, error) { return respond(307, "", "Location", "http://elsewhere.test/"), nil }, 1, false},
		{"unauthorized", func() (*http.Response, error) { return respond(401, `{"code":"unauthorized","detail":"no"}`), nil }, 1, false},
		{"too few verdicts", func() (*http.Response, error) { return respond(200, `{"accepted":0,"denied":[]}`), nil }, 1, true},
		{"not JSON", func() (*http.Response, error) { return respond(200, `{"accepted":1`), nil }, 1, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeMeterd{}
				f.answer = func(n int, r request) (*http.Response, error) {
					switch {
					case tc.answer != nil:
						return tc.answer()
					case n < 3:
						return respond(503, `{"code":"overloaded"}`, "Retry-After", "1"), nil
					}
					return acceptAll(r), nil
				}
				c := newTestClient(t, f, nil)
				defer closeClient(t, c)
				start := time.Now()
				v, err := c.Do(t.Context(), up("d1", 1))
				if len(f.requests) != tc.requests {
					t.Errorf("%d requests, want %d", len(f.requests), tc.requests)
				}
				if tc.answer == nil {
					if err != nil || !v.Accepted || time.Since(start) < 2*time.Second || f.requests[0].body != f.requests[2].body {
						t.Errorf("verdict %+v, error %v after %v", v, err, time.Since(start))
					}
					return
				}
				var unavailable *UnavailableError
				if !errors.As(err, &unavailable) || !errors.Is(err, ErrUnavailable) || unavailable.Ambiguous != tc.ambiguous {
					t.Errorf("error %v, ambiguous should be %v", err, tc.ambiguous)
				}
			})
		})
	}
}

func TestEndless503EndsWithTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{answer: func(int, request) (*http.Response, error) { return respond(503, ""), nil }}
		c := newTestClient(t, f, func(o *Options) { o.Timeout = 3 * time.Second })
		defer closeClient(t, c)
		start := time.Now()
		_, err := c.Do(t.Context(), up("d1", 1))
		var unavailable *UnavailableError
		if !errors.As(err, &unavailable) || unavailable.Ambiguous || unavailable.Status != 503 {
			t.Fatalf("error %v", err)
		}
		if took := time.Since(start); took > 3*time.Second || len(f.requests) < 5 {
			t.Errorf("%d requests in %v", len(f.requests), took)
		}
	})
}

func TestTimeoutIsAmbiguousAndNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeMeterd{latency: time.Hour}
		c := newTestClient(t, f, func(o *Options) { o.Timeout = time.Second })
		first, err := c.Submit(up("d1", 1))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		queued, err := c.Submit(up("d1", 2))
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
		if n := c.Stats().Requests; n != 1 {
			t.Errorf("%d requests: nothing was to be sent again, and what was given up not at all", n)
		}
		if _, err := queued.Wait(t.Context()); !errors.Is(err, errGivenUp) {
			t.Errorf("asked again about what was given up: %v", err)
		}
	})
}

func TestDeadMeterdIsLeftAloneForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		dead.Store(true)
		f := &fakeMeterd{}
		f.answer = func(_ int, r request) (*http.Response, error) {
			if dead.Load() {
				return nil, errCut
			}
			return acceptAll(r), nil
		}
		c := newTestClient(t, f, nil)
		defer closeClient(t, c)
		for range 100 {
			if _, err := c.Do(t.Context(), up("d1", 1)); !errors.Is(err, ErrUnavailable) {
				t.Fatalf("error %v", err)
			}
		}
		if n := len(f.requests); n != 2 {
			t.Errorf("%d requests to a meterd that fails", n)
		}
		dead.Store(false)
		time.Sleep(probeEveryMax)
		if v, err := c.Do(t.Context(), up("d1", 1)); err != nil || !v.Accepted {
			t.Errorf("when it was back: %+v, %v", v, err)
		}
	})
}
