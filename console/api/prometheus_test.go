package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/usage/history"
)

// fakeHistory answers with what it was asked.
type fakeHistory struct {
	err   error
	asked []history.Query
}

func (f *fakeHistory) Query(_ context.Context, q history.Query) (history.Answer, error) {
	f.asked = append(f.asked, q)
	return history.Answer{Status: 200, ContentType: "application/json", Body: []byte(`{"status":"success"}`)}, f.err
}

func (f *fakeHistory) Status() []string { return []string{"history fake: takes samples"} }

func (d *daemon) askPrometheus(token, method, target, kind, body string) (status int, answer string) {
	d.t.Helper()
	r := request{token: token, method: method, uri: target, body: body}
	if kind != "" {
		r.header = map[string]string{fasthttp.HeaderContentType: kind}
	}
	ctx, _ := d.ask(r)
	return ctx.Response.StatusCode(), string(ctx.Response.Body())
}

func historyDaemon(t *testing.T) (*daemon, *fakeHistory) {
	f := &fakeHistory{}
	d := newDaemon(t, func(o *Options) { o.History = f })
	d.expect(201, "POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`)
	for _, role := range []access.Role{access.RoleBilling, access.RoleViewer, access.RoleGateway} {
		d.addToken(string(role), role, "")
		d.addToken(string(role)+"-acme", role, "acme")
	}
	return d, f
}

// Only the five reading paths are there, by GET and POST, for those who may read usage, each for its own account.
func TestPrometheusPaths(t *testing.T) {
	d, f := historyDaemon(t)
	for _, c := range []struct {
		token, method, target string
		want                  int
	}{
		{"", "GET", "/prometheus/api/v1/query", 401},
		{"gateway", "GET", "/prometheus/api/v1/query", 403},
		{"gateway-acme", "POST", "/prometheus/api/v1/query_range", 403},
		{"billing", "GET", "/prometheus/api/v1/query?query=up", 200},
		{"viewer", "POST", "/prometheus/api/v1/query_range", 200},
		{"admin", "GET", "/prometheus/api/v1/series", 200},
		{"billing", "HEAD", "/prometheus/api/v1/labels", 200},
		{"billing", "GET", "/prometheus/api/v1/label/account/values", 200},
		{"billing", "PUT", "/prometheus/api/v1/query", 405},
		{"billing", "DELETE", "/prometheus/api/v1/series", 405},
		{"admin", "GET", "/prometheus/api/v1/export", 404},
		{"admin", "GET", "/prometheus/api/v1/query/../export", 404},
		{"admin", "GET", "/prometheus/api/v1/label/a%2F..%2F..%2Fexport/values/x", 404},
		{"admin", "GET", "/prometheus//api/v1/query", 404},
		{"admin", "POST", "/prometheus/api/v1/import/prometheus", 404},
		{"admin", "POST", "/prometheus/api/v1/write", 404},
		{"admin", "POST", "/prometheus/api/v1/admin/tsdb/delete_series", 404},
		{"admin", "GET", "/prometheus/federate", 404},
		{"admin", "GET", "/prometheus/api/v1/status/tsdb", 404},
		{"admin", "GET", "/prometheus", 404},
	} {
		if status, body := d.askPrometheus(c.token, c.method, c.target, "", ""); status != c.want {
			t.Errorf("%s %s %s: %d %s, want %d", c.token, c.method, c.target, status, body, c.want)
		}
	}
	f.asked = nil
	d.askPrometheus("billing-acme", "GET", "/prometheus/api/v1/query?query=x", "", "")
	d.askPrometheus("billing", "GET", "/prometheus/api/v1/query?query=x", "", "")
	if f.asked[0].Account != "acme" || f.asked[1].Account != "" {
		t.Errorf("%+v", f.asked)
	}
}

// Parameters of the URL come before those of the body; both are read by one reader, and headers say nothing.
func TestPrometheusForms(t *testing.T) {
	d, f := historyDaemon(t)
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		target, kind, body string
		status             int
		want               url.Values
	}{
		{"/prometheus/api/v1/query?query=a%7B%7D&%71uery=b", "", "", 200, url.Values{"query": {"a{}", "b"}}},
		{"/prometheus/api/v1/query?query=a", form, "query=b&time=1", 200, url.Values{"query": {"a", "b"}, "time": {"1"}}},
		{"/prometheus/api/v1/query", form + "; charset=utf-8", "query=b+c", 200, url.Values{"query": {"b c"}}},
		{"/prometheus/api/v1/query?a=1;b=2", "", "", 400, nil},
		{"/prometheus/api/v1/query?a=%zz", "", "", 400, nil},
		{"/prometheus/api/v1/query", form, "a=%zz", 400, nil},
		{"/prometheus/api/v1/query", "multipart/form-data; boundary=x", "--x", 415, nil},
		{"/prometheus/api/v1/query", "application/json", "{}", 415, nil},
		{"/prometheus/api/v1/query", form, "query=" + strings.Repeat("a", formBytesMax), 413, nil},
	} {
		f.asked = nil
		status, body := d.askPrometheus("billing-acme", "POST", c.target, c.kind, c.body)
		if status != c.status {
			t.Errorf("%s %.20s: %d %s, want %d", c.target, c.body, status, body, c.status)
		}
		if c.want != nil && (len(f.asked) != 1 || fmt.Sprint(f.asked[0].Form) != fmt.Sprint(c.want)) {
			t.Errorf("%s %.20s: %v", c.target, c.body, f.asked)
		}
	}
	f.asked = nil
	d.askPrometheus("billing-acme", "GET", "/prometheus/api/v1/query?query=a", form, "query=b")
	if got := fmt.Sprint(f.asked[0].Form); got != "map[query:[a]]" {
		t.Errorf("the body of a GET is read: %s", got)
	}
}

// Trouble of the history is 503, its absence 404; readiness is no matter of it.
func TestPrometheusFailures(t *testing.T) {
	d, f := historyDaemon(t)
	for _, c := range []struct {
		err  error
		want int
	}{{history.ErrBusy, 503}, {fmt.Errorf("%w: x", history.ErrNoStore), 503}, {errors.New("what"), 500}} {
		f.err = c.err
		if status, body := d.askPrometheus("admin", "GET", "/prometheus/api/v1/query", "", ""); status != c.want {
			t.Errorf("%v: %d %s", c.err, status, body)
		}
	}
	if status, body := d.askPrometheus("", "GET", "/readyz?verbose", "", ""); status != 200 ||
		!strings.Contains(body, "history fake: takes samples") {
		t.Errorf("%d %s", status, body)
	}
	off := newDaemon(t, nil)
	if status, body := off.askPrometheus("admin", "GET", "/prometheus/api/v1/query", "", ""); status != 404 ||
		!strings.Contains(body, "--usage-history") {
		t.Errorf("%d %s", status, body)
	}
}
