package api

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
)

// heldAnswers notes how long answers would have been held back, and waits for nothing.
type heldAnswers struct {
	mu   sync.Mutex
	list []time.Duration
}

func (h *heldAnswers) wait(_ <-chan struct{}, d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, d)
}

// take returns what was noted since the last call.
func (h *heldAnswers) take() []time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := h.list
	h.list = nil
	return list
}

// Wrong tokens wait longer and longer. Right ones never wait, whatever came from the same address before, and neither
// does who may not do what he asks.
func TestWrongTokensWait(t *testing.T) {
	d := newDaemon(t, nil)
	d.addToken("gateway", access.RoleGateway, "")
	d.tokens["wrong"] = access.NewSecret()
	ask := func(token string, status int, want ...time.Duration) {
		t.Helper()
		ctx, _ := d.ask(request{token: token, method: "GET", uri: "/v1/accounts"})
		if got := d.held.take(); ctx.Response.StatusCode() != status || !slices.Equal(got, want) {
			t.Errorf("token %q: %d after %v, want %d after %v", token, ctx.Response.StatusCode(), got, status, want)
		}
		if ctx.Response.ConnectionClose() {
			t.Errorf("token %q: the connection is closed", token)
		}
	}
	ask("admin", 200)
	ask("", 401, 100*time.Millisecond)
	ask("wrong", 401, 200*time.Millisecond)
	ask("admin", 200)
	ask("wrong", 401, 400*time.Millisecond)
	ask("wrong", 401, 800*time.Millisecond)
	ask("gateway", 403)
	ask("wrong", 401, time.Second)
	ask("admin", 200)
	if ctx, _ := d.ask(
		request{method: "GET", uri: "/metrics"},
	); ctx.Response.StatusCode() != 401 ||
		len(d.held.take()) != 1 {
		t.Errorf("/metrics without a token: %d, not held back", ctx.Response.StatusCode())
	}
	for _, uri := range []string{"/livez", "/readyz", "/v1/nothing"} {
		if d.ask(request{method: "GET", uri: uri}); len(d.held.take()) != 0 {
			t.Errorf("%s, which needs no token, is held back", uri)
		}
	}
}

// When as many answers are held back as may be, a wrong token is answered at once and its connection closed; a right
// one is as always.
func TestTooManyWrongTokens(t *testing.T) {
	d := newDaemon(t, nil)
	held := 0
	var full func()
	p := access.NewPenalties(func(<-chan struct{}, time.Duration) {
		held++
		full()
	})
	full = func() { // Called while every answer of before is held.
		if p.Hold(nil, 0, nil) {
			return
		}
		d.handler.penalties = p
		for token, status := range map[string]int{"": 401, "admin": 200} {
			ctx, _ := d.ask(request{token: token, method: "GET", uri: "/v1/accounts"})
			if ctx.Response.StatusCode() != status || ctx.Response.ConnectionClose() != (status == 401) {
				t.Errorf("token %q: %d, connection closed: %v", token, ctx.Response.StatusCode(), ctx.Response.ConnectionClose())
			}
		}
	}
	full()
	if held != 1024 {
		t.Errorf("%d answers were held back", held)
	}
	held, full = 0, func() {}
	if ctx, _ := d.ask(request{method: "GET", uri: "/v1/accounts"}); held != 1 || ctx.Response.ConnectionClose() {
		t.Errorf("after that: %d held back, %s", held, &ctx.Response)
	}
}

// A token that is bound reads of the audit log what is about its account. It is found however much lies before it, and
// no answer looks at more than a bounded number of entries.
func TestAuditOfOneAccountIsReadInSteps(t *testing.T) {
	log := &auditLog{}
	d := newDaemon(t, func(o *Options) {
		log.Queries = o.Queries
		o.Queries = log
	})
	d.expect(201, "POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`)
	d.addToken("boss", access.RoleAdmin, "acme")
	for range 3 * scanAudit {
		log.entries = append(log.entries, license.AuditEntry{Action: "account.create", Target: "zeta", Detail: []byte("{}")})
	}
	own := []int{0, 1, scanAudit, 2*scanAudit + 7, 3*scanAudit - 1}
	for _, i := range own {
		log.entries[i].Target = "acme"
	}
	var found, pages int
	for uri := "/v1/audit?limit=2"; ; pages++ {
		log.looked = 0
		var page struct {
			Entries []struct{ Target string }
			Next    *string
		}
		ctx, _ := d.ask(request{token: "boss", method: "GET", uri: uri})
		unmarshal(t, ctx.Response.Body(), &page)
		for _, e := range page.Entries {
			if found++; e.Target != "acme" {
				t.Fatalf("it reads about %s", e.Target)
			}
		}
		if len(page.Entries) > 2 || log.looked > scanAudit+1 {
			t.Fatalf("%d entries, %d looked at", len(page.Entries), log.looked)
		}
		if page.Next == nil {
			break
		}
		uri = "/v1/audit?limit=2&cursor=" + *page.Next
	}
	if found != len(own) || pages > 6 {
		t.Errorf("%d entries found on %d pages", found, pages)
	}
}

// auditLog is an engine whose audit log is made up; entry i has control sequence i+1.
type auditLog struct {
	Queries
	entries []license.AuditEntry
	looked  int
}

func (l *auditLog) Audit(before uint64, fn func(license.AuditEntry) bool) error {
	if before == 0 {
		before = uint64(len(l.entries)) + 1
	}
	for seq := before - 1; seq > 0; seq-- {
		l.looked++
		e := l.entries[seq-1]
		if e.Seq = seq; !fn(e) {
			return nil
		}
	}
	return nil
}
