package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type followedEntry struct{ N int }

// follow returns the numbers of the entries that come, at most n of them.
func follow(ctx context.Context, a *Admin, n int) (list []int, err error) {
	for e, err := range Follow[followedEntry](ctx, a, "/log", nil) {
		if err != nil {
			return list, err
		}
		if list = append(list, e.N); len(list) == n {
			break
		}
	}
	return list, nil
}

// TestFollow: a stream that breaks goes on behind the last entry, or from its beginning as long as none came; what is
// not an entry is passed over.
func TestFollow(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	a := newTestAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("headers %v", r.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.RawQuery+" "+r.Header.Get("Last-Event-ID"))
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.Header().Set("Date", "Mon, 23 Nov 2026 10:00:00 GMT")
		switch len(asked) {
		case 1:
			fmt.Fprint(w, ": ping\n\n") // It breaks before anything came.
		case 2:
			fmt.Fprint(w, "event: log\nid: a\ndata: {\"n\":1}\n\nevent: other\nid: b\ndata: {}\n\n: ping\n\nevent: log\nda")
		case 3:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			fmt.Fprintf(w, "event: log\nid: c\ndata: {\"n\":2,\"payload\":%q}\n\nevent: log\nid: d\ndata: {\"n\":3}\n\n",
				strings.Repeat("x", logLineBytesMax/2))
		}
	})
	have, err := follow(t.Context(), a, 3)
	if err != nil || !slices.Equal(have, []int{1, 2, 3}) {
		t.Errorf("%v, %v", have, err)
	}
	mu.Lock()
	defer mu.Unlock()
	from := "follow=true&from=2026-11-23T10%3A00%3A00Z "
	if want := []string{"follow=true ", from, from + "b", from + "b"}; !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// TestFollowEnds: what is refused for good, and what is no entry, ends it; so does its context.
func TestFollowEnds(t *testing.T) {
	entry := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "event: log\nid: a\ndata: %s\n\n", text)
	}
	var problem *Problem
	for _, c := range []struct {
		name    string
		entries int
		answer  func(w http.ResponseWriter, call int)
		ends    func(error) bool
	}{
		{"refused at first", 0, func(w http.ResponseWriter, _ int) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}, func(err error) bool { return errors.As(err, &problem) && problem.Status == 503 }},
		{"revoked later", 1, func(w http.ResponseWriter, call int) {
			if call > 1 {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			entry(w, `{"n":1}`)
		}, func(err error) bool { return errors.As(err, &problem) && problem.Status == 401 }},
		{"no stream", 0, func(w http.ResponseWriter, _ int) { fmt.Fprint(w, `{"logs":[]}`) }, func(err error) bool {
			return strings.Contains(err.Error(), "cannot be followed")
		}},
		{"no entry", 1, func(w http.ResponseWriter, call int) {
			entry(w, []string{`{"n":1}`, `{"n":"x"}`}[min(call, 2)-1])
		}, func(err error) bool { return errors.Is(err, errEntry) }},
		{"too long", 0, func(w http.ResponseWriter, _ int) {
			entry(w, strings.Repeat("x", logLineBytesMax+1))
		}, func(err error) bool { return errors.Is(err, errEntry) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var calls atomic.Int64
			a := newTestAdmin(t, func(w http.ResponseWriter, _ *http.Request) { c.answer(w, int(calls.Add(1))) })
			have, err := follow(t.Context(), a, 9)
			if err == nil || !c.ends(err) || len(have) != c.entries {
				t.Errorf("%v, then %v", have, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	a := newTestAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.(http.Flusher).Flush()
		cancel() // While it waits.
		<-r.Context().Done()
	})
	if have, err := follow(ctx, a, 9); len(have) != 0 || err != nil {
		t.Errorf("after the end of the context: %v, %v", have, err)
	}
}
