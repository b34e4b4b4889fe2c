package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newTestAdmin(t *testing.T, handler http.HandlerFunc) *Admin {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	a, err := NewAdmin(AdminOptions{URL: srv.URL + "/base/", Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

func TestAdminCalls(t *testing.T) {
	a := newTestAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.Header.Get("Authorization") != "Bearer secret" ||
			(len(body) > 0) != (r.Header.Get("Content-Type") == "application/json") {
			t.Errorf("headers %v with body %q", r.Header, body)
		}
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		fmt.Fprintf(w, `{"asked":%q}`, r.Method+" "+r.RequestURI+" "+string(body))
	})
	for _, tc := range []struct {
		method, path string
		query        url.Values
		body         any
		want         string
	}{
		{"GET", Path("v1", "accounts"), nil, nil, "GET /base/v1/accounts "},
		{
			"GET", Path("v1", "products", "a/b c", "lots"),
			url.Values{"limit": {"5"}},
			nil,
			"GET /base/v1/products/a%2Fb%20c/lots?limit=5 ",
		},
		{
			"PUT", Path("v1", "products", "..", "suspended"), nil,
			map[string]bool{"suspended": true},
			`PUT /base/v1/products/%2E%2E/suspended {"suspended":true}`,
		},
		{
			"POST", Path("v1", "products", ".", "topups"), nil,
			struct{ Units uint64 }{7},
			`POST /base/v1/products/%2E/topups {"Units":7}`,
		},
	} {
		var got struct{ Asked string }
		if err := a.Call(t.Context(), tc.method, tc.path, tc.query, tc.body, &got); err != nil || got.Asked != tc.want {
			t.Errorf("asked %q, want %q, error %v", got.Asked, tc.want, err)
		}
	}
	untouched := json.RawMessage(`"untouched"`)
	if err := a.Call(
		t.Context(),
		"DELETE",
		Path("v1", "tokens", "t"),
		nil,
		nil,
		&untouched,
	); err != nil ||
		string(untouched) != `"untouched"` {
		t.Errorf("204: %s, %v", untouched, err)
	}
	if err := a.Call(t.Context(), "GET", Path("v1", "accounts"), nil, nil, nil); err != nil {
		t.Errorf("an answer that nobody reads: %v", err)
	}
	if err := a.Call(t.Context(), "GET", Path("v1", "accounts"), nil, nil, new([]int)); err == nil {
		t.Error("an object was taken for a list")
	}
}

func TestAdminRefusals(t *testing.T) {
	const detail = `{"type":"urn:x","title":"Title","status":409,"detail":"order: was used","code":"order_reused",` +
		`"field":"order","more":1}`
	for _, tc := range []struct {
		status int
		body   string
		header string
		want   Problem
		text   string
	}{
		{
			409, detail, "",
			Problem{Code: "order_reused", Title: "Title", Detail: "order: was used", Field: "order"},
			"status 409 order_reused: order: was used",
		},
		{
			503, `{"code":"overloaded","title":"Too much load"}`, "7", Problem{
				Code: "overloaded", Title: "Too much load",
				RetryAfter: 7 * time.Second,
			}, "status 503 overloaded: Too much load",
		},
		{429, `{}`, "999999999999", Problem{RetryAfter: time.Hour}, "status 429"},
		{429, `{}`, "99999", Problem{RetryAfter: time.Hour}, "status 429"},
		{502, "<html>bad gateway", "-1", Problem{}, "status 502"},
		{301, "", "", Problem{}, "status 301"},
	} {
		a := newTestAdmin(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			if tc.header != "" {
				w.Header().Set("Retry-After", tc.header)
			}
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		check := func(err error) {
			t.Helper()
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("%d: %v", tc.status, err)
			}
			if p.Error() != tc.text || p.Status != tc.status || p.Code != tc.want.Code || p.Title != tc.want.Title ||
				p.Detail != tc.want.Detail ||
				p.Field != tc.want.Field ||
				p.RetryAfter != tc.want.RetryAfter ||
				p.Code != "" && string(p.Body) != tc.body ||
				p.Code == "" && p.Body != nil {
				t.Errorf("%d: %+v, %q", tc.status, p, p)
			}
		}
		check(a.Call(t.Context(), "GET", "/v1/accounts", nil, nil, nil))
		for _, err := range Elements[json.RawMessage](t.Context(), a, "/v1/accounts", "accounts", nil) {
			check(err)
		}
		for _, err := range Lines[json.RawMessage](t.Context(), a, "/v1/accounts", nil) {
			check(err)
		}
	}
}

func TestAdminOptionsReportAllFaults(t *testing.T) {
	_, err := NewAdmin(AdminOptions{URL: "localhost:8480", Token: "a b", Timeout: -1})
	for _, part := range []string{"URL", "token", "timeout"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name the %s", err, part)
		}
	}
	for _, u := range []string{"", "ftp://x", "http://", "http://x?a=b", "http://x/#a", "http://x:port"} {
		if err := (AdminOptions{URL: u}).Validate(); err == nil {
			t.Errorf("URL %q passed", u)
		}
	}
}

func TestElementsFollowPages(t *testing.T) {
	pages := map[string]string{
		"":  `{"lots":[1,2],"next":"b"}`,
		"b": `{"lots":[],"next":"c"}`,
		"c": `{"lots":[3],"next":null}`,
	}
	var asked []string
	a := newTestAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Encode())
		_, _ = io.WriteString(w, pages[r.URL.Query().Get("cursor")])
	})
	read := func(query url.Values, most int) (got []string, last error) {
		for e, err := range Elements[json.RawMessage](t.Context(), a, "/v1/products/p/lots", "lots", query) {
			if err != nil {
				return got, err
			}
			if got = append(got, string(e)); len(got) == most {
				break
			}
		}
		return got, nil
	}
	query := url.Values{"state": {"active"}, "limit": {"2"}}
	if got, err := read(query, -1); err != nil || !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("%q, %v", got, err)
	}
	if want := []string{
		"limit=2&state=active",
		"cursor=b&limit=2&state=active",
		"cursor=c&limit=2&state=active",
	}; !slices.Equal(
		asked,
		want,
	) {
		t.Errorf("asked %q", asked)
	}
	if len(query) != 2 {
		t.Errorf("the caller's query became %v", query)
	}
	asked = nil
	if got, err := read(nil, 2); err != nil || len(got) != 2 || !slices.Equal(asked, []string{"limit=1000"}) {
		t.Errorf("%q, %v, asked %q", got, err, asked)
	}
	pages["b"] = `{"lots":[9],"next":"b"}` // Would go round for ever.
	if got, err := read(nil, -1); err == nil || len(got) != 2 {
		t.Errorf("%q, %v", got, err)
	}
	for _, answer := range []string{`{}`, `{"lots":{}}`, `{"lots":[],"next":7}`, `[]`, `{"lots":[1]`} {
		pages[""] = answer
		if got, err := read(nil, -1); err == nil {
			t.Errorf("%s was taken for %q", answer, got)
		}
	}
}

func TestLinesOfALog(t *testing.T) {
	big := `{"payload":"` + strings.Repeat("\\u0000", 256<<10) + `"}` // The longest entry that there is.
	var answer string
	cut := false
	a := newTestAdmin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/x-ndjson" {
			t.Errorf("accepts %q", r.Header.Get("Accept"))
		}
		_, _ = io.WriteString(w, answer)
		if cut {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	read := func() (got []string, last error) {
		for e, err := range Lines[json.RawMessage](t.Context(), a, "/v1/products/p/devices/d/logs", nil) {
			if last = err; err == nil {
				got = append(got, string(e))
			}
		}
		return got, last
	}
	answer = "{\"a\":1}\n\n" + big + "\n{\"a\":2}"
	if got, err := read(); err != nil || !slices.Equal(got, []string{`{"a":1}`, big, `{"a":2}`}) {
		t.Errorf("%d lines, %v", len(got), err)
	}
	answer, cut = "{\"a\":1}\n{\"a\":2}\n", true
	if got, err := read(); err == nil || len(got) != 2 {
		t.Errorf("cut off: %q, %v", got, err)
	}
	cut = false
	for _, answer = range []string{"{\"a\":1}\n{\"a\":", "{\"a\":1}\n" + strings.Repeat("x", logLineBytesMax+1) + "\n"} {
		if got, err := read(); err == nil || len(got) != 1 {
			t.Errorf("%.20q: %d lines, %v", answer, len(got), err)
		}
	}
}

func TestTextIsReadByLines(t *testing.T) {
	status := http.StatusOK
	a := newTestAdmin(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "# HELP\n\na 1\nb{c=\"d\"} 2")
	})
	var got []string
	for line, err := range a.Text(t.Context(), "/metrics") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, line)
	}
	if want := []string{"# HELP", "", "a 1", `b{c="d"} 2`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	status = http.StatusForbidden
	for line, err := range a.Text(t.Context(), "/metrics") {
		var p *Problem
		if !errors.As(err, &p) || p.Status != status {
			t.Errorf("%q, %v", line, err)
		}
	}
}

func TestSilentAnswersAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStream{scripts: []func(context.Context, io.Writer){func(ctx context.Context, w io.Writer) {
			for range 10 {
				time.Sleep(9 * time.Second)
				_, _ = io.WriteString(w, "{}\n")
			}
			<-ctx.Done()
		}, say("")}}
		a, err := NewAdmin(
			AdminOptions{URL: "http://meterd.test", Timeout: 10 * time.Second, HTTPClient: &http.Client{Transport: f}},
		)
		if err != nil {
			t.Fatal(err)
		}
		lines, start := 0, time.Now()
		var last error
		for _, err := range Lines[json.RawMessage](t.Context(), a, "/v1/logs", nil) {
			if last = err; err == nil {
				lines++
			}
		}
		var silent silenceError
		if lines != 10 || !errors.As(last, &silent) || time.Since(start) != 100*time.Second {
			t.Errorf("%d lines, %v after %v", lines, last, time.Since(start))
		}
		start = time.Now()
		if err := a.Call(
			t.Context(),
			"GET",
			"/v1/accounts",
			nil,
			nil,
			new(any),
		); !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// Of several nodes the next one is asked when one did nothing for sure, or when asking it again does no harm. What may
// have been done is not done again.
func TestAdminAsksTheNextNode(t *testing.T) {
	did := 0
	serve := func(do http.HandlerFunc) string {
		srv := httptest.NewServer(do)
		t.Cleanup(srv.Close)
		return srv.URL
	}
	well := serve(func(http.ResponseWriter, *http.Request) { did++ })
	standby := serve(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"code":"overloaded"}`)
	})
	cuts := serve(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	gone := httptest.NewServer(nil)
	nobody := gone.URL
	gone.Close()
	for _, c := range []struct {
		method, first string
		isDone        bool
	}{
		{"POST", nobody, true},
		{"POST", standby, true},
		{"POST", cuts, false},
		{"GET", cuts, true},
		{"GET", standby, true},
	} {
		a, err := NewAdmin(AdminOptions{URL: c.first + "/," + well})
		if err != nil {
			t.Fatal(err)
		}
		did = 0
		for range 2 { // The second time the one that answered is asked at once.
			err = a.Call(t.Context(), c.method, "/v1/accounts", nil, map[string]int{"a": 1}, nil)
		}
		if isDone := err == nil && did == 2; isDone != c.isDone {
			t.Errorf("%s, the first node is %s: %v, done %d times", c.method, c.first, err, did)
		}
		a.Close()
	}
}

// A node that is paused takes what it is sent and says nothing: a question goes to the next one, and nothing else does.
func TestAdminLeavesAPausedNode(t *testing.T) {
	for method, isDone := range map[string]bool{"GET": true, "POST": false} {
		synctest.Test(t, func(t *testing.T) {
			did := 0
			a, err := NewAdmin(AdminOptions{
				URL: "http://paused.test,http://well.test",
				HTTPClient: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
					httptrace.ContextClientTrace(r.Context()).GotConn(httptrace.GotConnInfo{})
					if r.URL.Host == "paused.test" {
						<-r.Context().Done()
						return nil, r.Context().Err()
					}
					did++
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
				})},
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // The second time the one that answered is asked at once.
				err = a.Call(t.Context(), method, "/v1/accounts", nil, map[string]int{"a": 1}, nil)
			}
			if got := err == nil && did == 2; got != isDone || !isDone && did > 0 {
				t.Errorf("%s: %v, done %d times", method, err, did)
			}
			a.Close()
		})
	}
}
