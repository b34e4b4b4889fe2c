package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestCheck: a check is answered as the events are that it names, by the roles that may send events, and counts
// nothing; a sequence is not looked at.
func TestCheck(t *testing.T) {
	d := newGuardedDoor(t)
	check := func(body string) string { return "POST /v1/check " + body }
	device := func(kind string) string { return fmt.Sprintf(`{"type":%q,"product":"pa","device":"d"}`, kind) }
	for _, step := range []struct{ token, call, want string }{
		{"gateway", check(device("up")), `403 {"type":"urn:meterd:problem:not_activated"`},
		{"gateway", check(device("connect")), `200 {"accepted":1}`},
		{"gateway", check(device("up")), `403 {"type":"urn:meterd:problem:not_activated"`},
		{"gateway-of-acme", check("[" + device("connect") + "," + device("up") + "]"), `200 {"accepted":2,"denied":[]}`},
		{"admin", check(device("connect")), `200 {"accepted":1}`},
		{"admin-of-acme", check(device("connect")), `200 {"accepted":1}`},
		{"gateway-of-acme", check(`{"type":"connect","product":"pz","device":"d"}`), `404 `},
		{"viewer", check(device("connect")), "403 "},
		{"billing", check(device("connect")), "403 "},
		{"", check(device("connect")), "401 "},
		{"gateway", check(`{`), "400 "},
		{"gateway", "GET /v1/check", "405 "},
		{"gateway-of-acme", connect("pa"), `200 {"accepted":1}`},
		{"gateway", check(device("up")), `200 {"accepted":1}`},
		{"gateway", "GET /v1/producers/gw", "404 "}, // It only checked.
	} {
		ctx := d.ask(d.handler, step.token, step.call)
		if got := said(ctx); !strings.HasPrefix(got, step.want) {
			t.Errorf("%s, %s: %s, want %s", step.token, step.call, got, step.want)
		}
	}
	left := func(path string) string {
		ctx := d.ask(d.handler, "gateway-of-acme", "POST "+path+" "+device("up"))
		return string(ctx.Response.Header.Peek("RateLimit"))
	}
	for range 2 {
		if got := left("/v1/check"); !strings.HasPrefix(got, `"messages";r=1499;`) {
			t.Errorf("a check says that %s", got)
		}
	}
	if first, then := left("/v1/events"), left("/v1/check"); !strings.Contains(first, "r=1499;") ||
		!strings.Contains(then, "r=1498;") {
		t.Errorf("%s, and then %s", first, then)
	}
}

// TestCheckWithSequence: a check neither remembers a sequence nor repeats an answer.
func TestCheckWithSequence(t *testing.T) {
	d := newGuardedDoor(t)
	ask := func(path, sequence, body string) *fasthttp.RequestCtx {
		return d.posted(path, "gateway-of-acme", "gw", sequence, body)
	}
	const connect, up = `{"type":"connect","product":"pa","device":"d"}`, `{"type":"up","product":"pa","device":"d"}`
	d.answeredAs(ask("/v1/check", "1", connect), 200, false)
	d.answeredAs(ask("/v1/check", "no number", up), 403, false)
	d.answeredAs(ask("/v1/events", "1", connect), 200, false)
	d.answeredAs(ask("/v1/check", "1", up), 200, false)
	d.answeredAs(ask("/v1/events", "1", connect), 200, true)
}
