package history

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newHistory returns a History on fake stores, that nothing writes to.
func newHistory(fine, thin *fakeStore) *History {
	h := &History{
		o:      Options{NowMs: func() int64 { return epochMs }, Retention: 9480 * time.Hour, Logger: quiet},
		places: make(chan struct{}, queriesMax),
	}
	h.tiers = []*tier{
		{store: fine, name: "fine", answers: fineFor},
		{store: thin, name: "thin", answers: h.o.Retention},
	}
	return h
}

func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// Of what a client sends only what is known reaches a store, once each, and confined.
func TestNothingOfTheRequestIsHandedOn(t *testing.T) {
	s := &fakeStore{answer: Answer{Status: 200}}
	h := newHistory(s, s)
	noise := form(
		"extra_label", "account=other", "extra_filters", `{account="other"}`, "extra_filters[]", `{account="other"}`,
		"Extra_Label", "account=other", "nocache", "1", "trace", "1", "max_lookback", "1y", "latency_offset", "1h",
		"round_digits", "0", "authKey", "x", "format", "promapi", "lookback_delta", "1d",
	)
	for _, c := range []struct {
		q    Query
		want string
	}{
		{
			Query{Path: "query", Form: form("query", "x", "query", `y{account="other"}`, "time", "1790000000", "timeout", "5s")},
			`query?extra_filters%5B%5D=%7Baccount%3D%22acme%22%7D&query=x%7Baccount%3D%22acme%22%7D&` +
				`time=1790000000.000&timeout=5.000`,
		},
		{
			Query{Path: "query_range", Form: form(
				"query", "x", "start", "2026-09-21T00:00:00Z", "end", "1789999999.5", "end", "9999999999", "step", "1h")},
			`query_range?end=1789999999.500&extra_filters%5B%5D=%7Baccount%3D%22acme%22%7D&` +
				`query=x%7Baccount%3D%22acme%22%7D&start=1789948800.000&step=3600.000`,
		},
		{
			Query{Path: "labels", Form: form("start", "1", "end", "2", "limit", "7")},
			`labels?end=2.000&extra_filters%5B%5D=%7Baccount%3D%22acme%22%7D&limit=7&` +
				`match%5B%5D=%7Baccount%3D%22acme%22%7D&start=1.000`,
		},
		{
			Query{Path: "values", Label: "account", Form: form("start", "1", "end", "2", "match[]", `{account="other"}`)},
			`label/account/values?end=2.000&extra_filters%5B%5D=%7Baccount%3D%22acme%22%7D&` +
				`match%5B%5D=%7Baccount%21%3D%22acme%22%2Caccount%3D%22acme%22%7D&start=1.000`,
		},
	} {
		for name, values := range noise {
			c.q.Form[name] = values
		}
		c.q.Account, s.asked = "acme", nil
		answer, err := h.Query(t.Context(), c.q)
		if err != nil || answer.Status != 200 || len(s.asked) != 1 || s.asked[0] != c.want {
			t.Errorf("%s: %v %s %v\n got %s\nwant %s", c.q.Path, err, answer.Body, answer.Status, s.asked, c.want)
		}
	}
}

func TestBadQueries(t *testing.T) {
	s := &fakeStore{answer: Answer{Status: 200}}
	h := newHistory(s, s)
	for _, q := range []Query{
		{Path: "export"},
		{Path: "query", Form: form()},
		{Path: "query", Form: form("query", "x{")},
		{Path: "query", Form: form("query", "x", "time", "yesterday")},
		{Path: "query", Form: form("query", "x", "time", "NaN")},
		{Path: "query", Form: form("query", "x", "time", "1e300")},
		{Path: "query", Form: form("query", "x", "timeout", "-1")},
		{Path: "query", Form: form("query", "x", "step", "0")},
		{Path: "query_range", Form: form("query", "x", "start", "1", "end", "2")},
		{Path: "query_range", Form: form("query", "x", "start", "1", "step", "1")},
		{Path: "query_range", Form: form("query", "x", "start", "2", "end", "1", "step", "1")},
		{Path: "query_range", Form: form("query", "x", "start", "0", "end", "11000", "step", "1")},
		{Path: "query_range", Form: form("query", "x", "start", "0", "end", "1", "step", "1e-9")},
		{Path: "series", Form: form()},
		{Path: "series", Form: form("match[]", "rate(x[1m])")},
		{Path: "series", Form: url.Values{"match[]": make([]string, matchesMax+1)}},
		{Path: "labels", Form: form("limit", "-1")},
		{Path: "values", Label: "a/../../export", Form: form()},
		{Path: "values", Label: "", Form: form()},
	} {
		answer, err := h.Query(t.Context(), q)
		if err != nil || answer.Status != http.StatusBadRequest ||
			!strings.Contains(string(answer.Body), `"status":"error"`) {
			t.Errorf("%+v: %d %s %v", q, answer.Status, answer.Body, err)
		}
	}
	if len(s.asked) != 0 {
		t.Errorf("a store was asked %s", s.asked)
	}
}

// What reaches back two days at most is answered by the store that has every sample, all else by the other one.
func TestRouting(t *testing.T) {
	hours := func(n int64) string { return strconv.FormatInt(epochMs/1000-3600*n, 10) }
	for _, c := range []struct {
		q      Query
		isFine bool
	}{
		{Query{Path: "query", Form: form("query", "x")}, true},
		{Query{Path: "query", Form: form("query", "increase(x[1d])")}, true},
		{Query{Path: "query", Form: form("query", "increase(x[47h])")}, true},
		{Query{Path: "query", Form: form("query", "increase(x[2d])")}, false},
		{Query{Path: "query", Form: form("query", "increase(x[30d])")}, false},
		{Query{Path: "query", Form: form("query", "x @ 1")}, false},
		{Query{Path: "query", Form: form("query", "x", "time", hours(40))}, true},
		{Query{Path: "query", Form: form("query", "x", "time", hours(50))}, false},
		{Query{Path: "query_range", Form: form("query", "x", "start", hours(24), "end", hours(0), "step", "60")}, true},
		{
			Query{Path: "query_range", Form: form("query", "rate(x[1d])", "start", hours(24), "end", hours(0), "step", "60")},
			false,
		},
		{Query{Path: "series", Form: form("match[]", "x")}, false},
		{Query{Path: "series", Form: form("match[]", "x", "start", hours(1))}, true},
	} {
		fine, thin := &fakeStore{answer: Answer{Status: 200}}, &fakeStore{answer: Answer{Status: 200}}
		_, err := newHistory(fine, thin).Query(t.Context(), c.q)
		if err != nil || (len(fine.asked) == 1) != c.isFine || (len(thin.asked) == 1) == c.isFine {
			t.Errorf("%+v: %v, fine %s, thin %s", c.q, err, fine.asked, thin.asked)
		}
	}
}

// slowStore answers when it is told to.
type slowStore struct {
	store
	goOn chan struct{}
}

func (s *slowStore) get(ctx context.Context, _, _ string) (Answer, error) {
	select {
	case <-s.goOn:
		return Answer{Status: 200}, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

// Only so many queries run at a time, and only so many wait; one that takes too long is ended.
func TestQueriesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{goOn: make(chan struct{})}
		h := newHistory(nil, nil)
		h.tiers[0].store = s
		ask := func() error {
			_, err := h.Query(t.Context(), Query{Path: "query", Form: form("query", "x")})
			return err
		}
		results := make(chan error, queriesMax+queriesWaitingMax)
		for range queriesMax + queriesWaitingMax {
			go func() { results <- ask() }()
			synctest.Wait()
		}
		if err := ask(); !errors.Is(err, ErrBusy) {
			t.Fatalf("one too many: %v", err)
		}
		time.Sleep(waitFor)
		for range queriesWaitingMax {
			if err := <-results; !errors.Is(err, ErrBusy) {
				t.Fatal(err)
			}
		}
		began := time.Now()
		for range queriesMax {
			if err := <-results; !errors.Is(err, ErrNoStore) {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took > answerWithin || len(h.places) != 0 {
			t.Fatalf("%v, %d places are taken", took, len(h.places))
		}
		close(s.goOn)
		if err := ask(); err != nil {
			t.Fatal(err)
		}
	})
}

// A store that hangs is not waited for longer than the client does.
func TestTimeout(t *testing.T) {
	for timeout, want := range map[string]time.Duration{
		"": answerWithin, "3": 3*time.Second + answerMargin, "500ms": 500*time.Millisecond + answerMargin,
		"34": answerWithin, "1h": answerWithin, "200000000000": answerWithin,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := newHistory(nil, nil)
			h.tiers[0].store = &slowStore{}
			began := time.Now()
			_, err := h.Query(t.Context(), Query{Path: "query", Form: form("query", "x", "timeout", timeout)})
			if took := time.Since(began); !errors.Is(err, ErrNoStore) || took != want {
				t.Errorf("timeout=%s: %v after %v, want %v", timeout, err, took, want)
			}
		})
	}
}

func TestValidURL(t *testing.T) {
	for _, text := range []string{"http://127.0.0.1:8428", "https://user:pass@vm.example/prometheus"} {
		if err := ValidURL(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"", "vm:8428", "ftp://vm", "http://", "http://vm?x=1", "http://vm#x", "http://vm:port"} {
		if ValidURL(text) == nil {
			t.Errorf("%q is one", text)
		}
	}
}
