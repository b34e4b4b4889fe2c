package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver is where webhooks are told. It checks every signature with the library of Standard Webhooks.
type receiver struct {
	t      testing.TB
	server *httptest.Server
	status atomic.Int32 // what it answers

	mu    sync.Mutex
	check *standardwebhooks.Webhook
	got   []notice
}

// notice is a message as it was received.
type notice struct {
	ID   string `json:"-"`
	Type string
	Data struct {
		Product, Device, Day, Reason string
		Percent, Used, Limit         int
		Available                    int
	}
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{t: t}
	r.status.Store(http.StatusOK)
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(q.Body)
	if err == nil {
		err = r.check.Verify(body, q.Header)
	}
	m := notice{ID: q.Header.Get("webhook-id")}
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err != nil {
		r.t.Errorf("received %q with %v: %v", body, q.Header, err)
	}
	status := int(r.status.Load())
	if status == http.StatusOK {
		r.got = append(r.got, m)
	}
	w.WriteHeader(status)
}

// count returns how many different messages were taken.
func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]bool{}
	for _, m := range r.got {
		ids[m.ID] = true
	}
	return len(ids)
}

// hookView is a webhook as the API shows it.
type hookView struct {
	Name, Secret, State string
	Queued, Delivered   int
	DeadLetters         int    `json:"dead_letters"`
	LastError           string `json:"last_error"`
}

// hook makes a webhook; r may be nil for a receiver that checks nothing.
func (d *daemon) hook(name, url string, r *receiver, events ...string) {
	d.t.Helper()
	list, err := json.Marshal(events)
	if err != nil {
		d.t.Fatal(err)
	}
	var v hookView
	a := d.must("PUT", "/v1/webhooks/"+name, fmt.Sprintf(`{"url":%q,"events":%s}`, url, list), &v)
	if a.status != 201 || !strings.HasPrefix(v.Secret, "whsec_") {
		d.t.Fatalf("%d %s", a.status, a.body)
	}
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.check, err = standardwebhooks.NewWebhook(v.Secret); err != nil {
		d.t.Fatal(err)
	}
}

// Every mark that a device passes is told, signed, in its order, although the receiver fails half of the time, another
// one hangs, and the daemon is killed again and again; what is told twice has the same id.
func TestWebhooks(t *testing.T) {
	t.Parallel()
	const rounds, devices = 4, 25
	d := newDaemon(t, "--webhook-allow-private")
	d.withProduct("p1", `{"messages_per_day":10}`)
	d.must("POST", "/v1/products/p1/lots", fmt.Sprintf(`{"order":"L","quantity":%d}`, devices*rounds), nil)
	r := newReceiver(t)
	release := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer hangs.Close()
	defer close(release)
	d.hook("hangs", hangs.URL, nil, "device.quota_80", "device.quota_100")
	d.hook("ops", r.server.URL+"/ops?key=1", r, "device.quota_80", "device.quota_100")
	for round := range rounds {
		var lines []string
		for i := range devices {
			device := fmt.Sprintf("d%d-%d", round, i)
			lines = append(lines, line("connect", "p1", device))
			for range 12 {
				lines = append(lines, line("up", "p1", device))
			}
		}
		r.status.Store(http.StatusServiceUnavailable)
		if round%2 == 0 {
			r.status.Store(http.StatusOK)
		}
		d.batch(lines...)
		if round%2 == 0 {
			await(t, "something is delivered", func() bool { return r.count() > 2*devices*round })
		}
		d.kill() // With messages queued, or half of them delivered.
		d.start()
	}
	r.status.Store(http.StatusOK)
	await(t, "everything is told", func() bool { return r.count() == 2*devices*rounds })
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := map[string]string{}
	for _, m := range r.got {
		what := fmt.Sprintf("%s %s %d of %d", m.Data.Device, m.Type, m.Data.Used, m.Data.Limit)
		if before, known := ids[what]; known && before != m.ID {
			t.Errorf("%s is told as %s and as %s", what, before, m.ID)
		}
		ids[what] = m.ID
		if m.Type == "device.quota_100" && ids[m.Data.Device+" device.quota_80 8 of 10"] == "" {
			t.Errorf("%s is told before its 80 %%", what)
		}
	}
	if len(ids) != 2*devices*rounds {
		t.Errorf("%d different things are told", len(ids))
	}
	var v hookView
	d.must("GET", "/v1/webhooks/hangs", "", &v)
	if v.Delivered != 0 || v.Queued != 2*devices*rounds {
		t.Errorf("the one that hangs: %+v", v)
	}
	d.must("DELETE", "/v1/webhooks/hangs", "", nil)
	d.ask("GET", "/v1/webhooks/hangs", "").refuse(t, 404, "not_found")
}

// Licences and packs that run low are told without a restart, and so are those that end.
func TestWebhooksOfStock(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--webhook-allow-private")
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, nil)
	d.must("POST", "/v1/products", `{"product":"p1","account":"acme","plan":{"validity":"P10D"}}`, nil)
	d.must("POST", "/v1/products/p1/lots", `{"order":"L","quantity":4}`, nil)
	d.must("POST", "/v1/products/p1/topups", `{"order":"P","kind":"ota","units":3}`, nil)
	for i := range 3 {
		d.batch(line("connect", "p1", fmt.Sprint("d", i)))
	}
	d.batch(sized("ota", "p1", "d0", 15<<20))
	r := newReceiver(t)
	events := []string{"product.licenses_low", "product.packs_low", "product.licenses_dry", "product.licenses_ending"}
	list, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	var v hookView
	r.mu.Lock() // Until its secret is known.
	d.must("PUT", "/v1/webhooks/ops", fmt.Sprintf(
		`{"url":%q,"events":%s,"account":"acme","licenses_low_percent":25,"packs_low_percent":40}`, r.server.URL, list), &v)
	r.check, err = standardwebhooks.NewWebhook(v.Secret)
	r.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	await(t, "everything is told", func() bool { return r.count() == len(events) })
	r.mu.Lock()
	defer r.mu.Unlock()
	got := map[string]int{}
	for _, m := range r.got {
		got[m.Type] = m.Data.Available
	}
	for _, e := range events {
		if available, told := got[e]; !told || available != 1 {
			t.Errorf("%s: told %t, available %d", e, told, available)
		}
	}
}

// Without the flag nothing inside is reached, also when the hook was set by a daemon that had it.
func TestWebhooksReachNothingInside(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer inside.Close()
	d := newDaemon(t, "--webhook-allow-private")
	d.withProduct("p1", `{"messages_per_day":1}`)
	d.hook("ops", strings.Replace(inside.URL, "127.0.0.1", "localhost", 1), nil, "device.quota_100")
	d.flags = nil
	d.restart()
	body := fmt.Sprintf(`{"url":%q,"events":["device.quota_100"]}`, inside.URL)
	d.ask("PUT", "/v1/webhooks/more", body).refuse(t, 400, "invalid_argument")
	d.batch(line("connect", "p1", "d1"), line("up", "p1", "d1"))
	var v hookView
	await(t, "it was tried", func() bool {
		d.must("GET", "/v1/webhooks/ops", "", &v)
		return v.LastError != ""
	})
	want(t, v.LastError, "not of the public internet")
	if v.State != "failing" || v.Queued != 1 || reached.Load() > 0 {
		t.Errorf("%+v, reached %d times", v, reached.Load())
	}
}

// An operator sets, sees and deletes webhooks with a shell alone.
func TestCtlWebhooks(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	secret := d.ctl(
		"webhooks",
		"set",
		"ops",
		"--url",
		"https://example.com/x",
		"--events",
		"ingest.stopped,device.quota_80",
	)
	if !strings.HasPrefix(secret, "whsec_") || strings.Count(secret, "\n") != 1 {
		t.Errorf("set says %q", secret)
	}
	want(t, d.ctl("webhooks", "set", "ops", "--url", "https://example.com/y", "--events", "ingest.stopped"), "ops changed")
	if again := d.ctl("webhooks", "set", "ops", "--url", "https://example.com/y", "--events", "ingest.stopped",
		"--new-secret"); !strings.HasPrefix(again, "whsec_") || again == secret {
		t.Errorf("set says %q", again)
	}
	want(t, strings.Join(rowOf(t, d.ctl("webhooks", "list"), "ops"), " "), "ops", "ok 0 0 0", "https://example.com/y")
	want(t, d.ctl("webhooks", "show", "ops"), "ingest.stopped", "ok")
	want(t, d.ctl("webhooks", "dead-letters", "ops"), "ID", "DIED AT")
	d.ctlRefused("not_found", "webhooks", "retry", "ops", "msg_1")
	d.ctlRefused("invalid_argument", "webhooks", "set", "bad", "--url", "http://10.0.0.1", "--events", "ingest.stopped")
	d.ctl("webhooks", "delete", "ops")
	d.ctlRefused("not_found", "webhooks", "show", "ops")
}
