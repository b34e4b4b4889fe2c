package main_test

import (
	"fmt"
	"net/http"
	"testing"
)

// brief is a plan whose licences end while a test looks on.
const brief = `{"validity":"PT1S","messages_per_day":null,"ota_per_month":1000}`

// uses are the events that a device must be active for (R3).
func uses() []string { return []string{"up", "down", "ota"} }

// row is one thing that happens, and what must be answered.
type row struct {
	producer, typ, device, want string
}

// play lets things happen one after the other.
func (d *daemon) play(product string, rows []row) {
	d.t.Helper()
	for _, r := range rows {
		body := sized(r.typ, product, r.device, 1)
		if r.typ == "ota_void" {
			body = `{"type":"ota_void","product":"` + product + `","device":"` + r.device + `","id":"u1"}`
		}
		if got := d.as(r.producer, body).code(d.t); got != r.want {
			d.t.Errorf("%s of %s by %s: %s, want %s (R3)", r.typ, r.device, r.producer, got, r.want)
		}
	}
}

// R3's table: any event but disconnect and ota_void of what is suspended, by each scope; the widest that holds is named
// (R20).
func TestStatesSuspended(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", standard)
	d.batch(line("connect", "p1", "d1"), line("connect", "p1", "d2"))
	d.must("POST", "/v1/events", `{"type":"ota","product":"p1","device":"d1","size":1,"id":"u1"}`, nil)
	scopes := []struct{ scope, path string }{
		{"device", "/v1/products/p1/devices/d1"}, {"product", "/v1/products/p1"}, {"account", "/v1/accounts/p1"},
	}
	denied := func(scope string, devices ...string) {
		t.Helper()
		for _, device := range devices {
			for _, typ := range append(uses(), "connect") {
				if p := d.as("gw", sized(typ, "p1", device, 1)).refuse(t, 403, "suspended"); p.Scope != scope {
					t.Errorf("%s of %s: scope %q, want %q", typ, device, p.Scope, scope)
				}
			}
		}
	}
	for i, s := range scopes {
		d.suspend(s.path, true)
		concerned := []string{"d1"}
		if i > 0 {
			concerned = append(concerned, "d2", "never")
		}
		denied(s.scope, concerned...)
		d.play("p1", []row{{"gw", "disconnect", "d1", "accepted"}})
		if v := d.device("p1", "d1"); v.Online || v.State != "active" {
			t.Errorf("suspended by its %s: %+v; it is offline and its validity runs on", s.scope, v)
		}
	}
	// What happened before is told all the same: the upgrade that failed is given back (R17).
	d.play("p1", []row{{"gw", "ota_void", "d1", "accepted"}})
	d.restart()
	for i := len(scopes) - 1; i >= 0; i-- {
		denied(scopes[i].scope, "d1")
		d.suspend(scopes[i].path, false)
	}
	d.play(
		"p1",
		[]row{{"gw", "up", "d1", "accepted"}, {"gw", "connect", "d1", "accepted"}, {"gw", "up", "d2", "accepted"}},
	)
	d.ask("GET", "/v1/products/p1/devices/never", "").refuse(t, 404, "not_found")
}

// R3's table: connect and disconnect of active devices, and who holds them; messages of active ones, online or not.
func TestStatesActive(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":4,"ota_per_month":1}`)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 1)
	holds := func(online bool, holder string) {
		t.Helper()
		v := d.device("p1", "d1")
		if v.Online != online || v.Holder == nil || *v.Holder != holder || v.State != "active" {
			t.Errorf("online %v, holder %v, %s; want %v and %s", v.Online, v.Holder, v.State, online, holder)
		}
	}
	for _, typ := range uses() {
		d.play("p1", []row{{"gw-1", typ, "d1", "not_activated"}})
	}
	d.play("p1", []row{{"gw-1", "disconnect", "d1", "accepted"}, {"gw-1", "connect", "d1", "accepted"}})
	holds(true, "gw-1")
	d.play("p1", []row{{"gw-1", "connect", "d1", "accepted"}, {"gw-2", "connect", "d1", "accepted"}})
	holds(true, "gw-2")
	d.play("p1", []row{{"gw-1", "disconnect", "d1", "accepted"}, {"", "disconnect", "d1", "accepted"}})
	holds(true, "gw-2")
	d.play("p1", []row{{"gw-2", "up", "d1", "accepted"}, {"gw-2", "disconnect", "d1", "accepted"}})
	holds(false, "gw-2")
	d.play("p1", []row{
		{"gw-2", "up", "d1", "accepted"},
		{"gw-2", "down", "d1", "accepted"},
		{"gw-2", "ota", "d1", "accepted"},
		{"gw-2", "ota", "d1", "ota_quota_exceeded"},
		{"gw-2", "connect", "d1", "accepted"},
		{"gw-2", "up", "d1", "accepted"},
		{"gw-2", "up", "d1", "message_quota_exceeded"},
		{"gw-2", "down", "d1", "message_quota_exceeded"},
		{"gw-2", "connect", "d2", "license_exhausted"},
		{"gw-2", "up", "d2", "not_activated"},
	})
	d.restart()
	holds(true, "gw-2")
	// Without a holder anybody's disconnect counts.
	d.play("p1", []row{{"", "connect", "d1", "accepted"}})
	if v := d.device("p1", "d1"); !v.Online || v.Holder != nil && *v.Holder != "" {
		t.Errorf("connected by nobody: %+v", v)
	}
	d.play("p1", []row{{"gw-1", "disconnect", "d1", "accepted"}})
	if v := d.device("p1", "d1"); v.Online {
		t.Error("a disconnect of a device that nobody holds left it online")
	}
	if v := d.product("p1"); v.Licenses != (counts{1, 1, 0}) {
		t.Errorf("reconnects consumed: %+v (R1)", v.Licenses)
	}
}

// R3's table: devices whose licence ended while they were offline, by what is left and by the switch of R19.
func TestStatesEnded(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", brief)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 1)
	d.play("p1", []row{{"gw", "connect", "d1", "accepted"}, {"gw", "disconnect", "d1", "accepted"}})
	await(t, "it is over", func() bool { v := d.device("p1", "d1"); return v.State == "unactivated" && !v.Online })
	// all tries everything; connect is what a connect must be answered, "" to leave it out.
	all := func(use, connect string) {
		t.Helper()
		for _, typ := range uses() {
			d.play("p1", []row{{"gw", typ, "d1", use}})
		}
		if connect != "" {
			d.play("p1", []row{{"gw", "connect", "d1", connect}})
		}
		d.play("p1", []row{{"gw", "disconnect", "d1", "accepted"}})
	}
	all("license_exhausted", "license_exhausted")
	renewal := func(body string) { t.Helper(); d.must("PUT", "/v1/products/p1/renewal", body, nil) }
	renewal(`{"auto_renew":false}`)
	all("renewal_off", "renewal_off")
	d.credit("p1", "PO-2", 1000)      // Whoever is online meanwhile takes one a second.
	all("renewal_off", "renewal_off") // It stays out although licences are left.
	renewal(`{"auto_renew":true,"except":["d1"]}`)
	all("renewal_off", "renewal_off")
	d.restart()
	all("renewal_off", "renewal_off")
	// The first licence of a device is no renewal.
	renewal(`{"auto_renew":false,"except":["new"]}`)
	d.play("p1", []row{{"gw", "up", "new", "not_activated"}, {"gw", "connect", "new", "accepted"}})
	renewal(`{"auto_renew":true}`)
	all("not_activated", "") // Otherwise: it must connect first.
	d.play("p1", []row{{"gw", "connect", "d1", "accepted"}})
	first := map[string]string{}
	for _, l := range d.licenses("p1") {
		if first[l.Device] == "" {
			first[l.Device] = l.Source
		}
	}
	if len(first) != 2 || first["d1"] != "PO-1" || first["new"] != "PO-2" {
		t.Errorf("the first licences came from %v", first)
	}
}

// as sends one event in the name of a producer.
func (d *daemon) as(producer, body string) answer {
	d.t.Helper()
	return d.ask("POST", "/v1/events", body, "Meterd-Producer", producer)
}

// code returns the verdict of a single event: "accepted", or the code of the problem.
func (a answer) code(t testing.TB) string {
	t.Helper()
	if a.status == http.StatusOK {
		return "accepted"
	}
	return a.problem(t).Code
}

// suspend suspends what a path names, or lets it go.
func (d *daemon) suspend(path string, suspended bool) {
	d.t.Helper()
	d.must("PUT", path+"/suspended", fmt.Sprintf(`{"suspended":%v}`, suspended), nil)
}
