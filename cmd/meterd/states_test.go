package main_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// shortPlan ends licences while a test runs.
const shortPlan = `{"validity":"PT3S","ota_per_month":1000}`

// event sends one event alone and returns its status and code.
func (d *daemon) event(typ, product, device string) string {
	d.t.Helper()
	a := d.ask("POST", "/v1/events", line(typ, product, device))
	if a.status == 200 {
		return "200"
	}
	p := a.problem(d.t)
	return strings.TrimSpace(fmt.Sprint(a.status, " ", p.Code, " ", p.Scope))
}

func (d *daemon) events(product, device, want string, types ...string) {
	d.t.Helper()
	for _, typ := range types {
		if got := d.event(typ, product, device); got != want {
			d.t.Errorf("%s of %s: %s, want %s", typ, device, got, want)
		}
	}
}

func (d *daemon) put(path, body string) {
	d.t.Helper()
	d.must("PUT", path, body, nil)
}

// Every row of R3's table, and R19 and R20, over HTTP.
func TestStates(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", `{"ota_per_month":1000}`)
	d.withoutGifts("p")
	d.events("p", "a", "403 not_activated", "up", "down")
	if got := d.ask("POST", "/v1/events", sized("ota", "p", "a", 1)).refuse(t, 403, "not_activated"); got.Status != 403 {
		t.Error(got)
	}
	d.events("p", "a", "200", "disconnect")
	d.events("p", "a", "403 license_exhausted", "connect")
	d.credit("p", "L1", 2)
	d.events("p", "a", "200", "connect", "up", "down", "connect", "disconnect", "up")
	d.events("p", "b", "200", "connect")
	for _, scope := range []struct{ path, want string }{
		{"/v1/products/p/devices/a/suspended", "403 suspended device"},
		{"/v1/products/p/suspended", "403 suspended product"},
		{"/v1/accounts/p/suspended", "403 suspended account"},
	} {
		d.put(scope.path, `{"suspended":true}`)
		d.events("p", "a", scope.want, "connect", "up", "down")
		d.events("p", "a", "200", "disconnect")
	}
	if v := d.device("p", "b"); v.Online {
		t.Error("a device of a suspended product is online (R20)")
	}
	d.restart()
	d.events("p", "b", "403 suspended account", "connect", "up")
	d.put("/v1/accounts/p/suspended", `{"suspended":false}`)
	d.events("p", "b", "403 suspended product", "up")
	d.put("/v1/products/p/suspended", `{"suspended":false}`)
	d.events("p", "b", "200", "up", "connect")
	d.events("p", "a", "403 suspended device", "up")
	d.put("/v1/products/p/devices/a/suspended", `{"suspended":false}`)
	d.events("p", "a", "200", "connect")
}

// Worked case 4 and R19, by themselves: renewal without an event, an offline device costs nothing, a dry pool puts devices offline, and
// what is not renewed stays out although licences are left.
func TestEnds(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", shortPlan)
	d.withoutGifts("p")
	d.credit("p", "L1", 3)
	d.batch(line("connect", "p", "on"), line("connect", "p", "off"), line("disconnect", "p", "off"))
	first := d.device("p", "on")
	await(t, "the online device is renewed", func() bool { return d.device("p", "on").ActivatedAt.After(first.ActivatedAt) })
	if on := d.device("p", "on"); on.State != "active" || !on.Online || on.ActivatedAt.Before(first.ExpiresAt) {
		t.Errorf("renewed: %+v", on)
	}
	if v := d.device("p", "off"); v.State != "unactivated" || d.product("p").Licenses.Used != 3 {
		t.Errorf("an offline device: %+v, %+v", v, d.product("p").Licenses)
	}
	await(t, "the dry pool puts the device offline", func() bool { return !d.device("p", "on").Online })
	d.events("p", "on", "403 license_exhausted", "up", "down", "connect")
	d.restart()
	d.events("p", "on", "403 license_exhausted", "connect")
	d.credit("p", "L2", 5)
	d.events("p", "on", "403 not_activated", "up")
	d.put("/v1/products/p/renewal", `{"auto_renew":true,"except":["on"]}`)
	d.events("p", "on", "403 renewal_off", "up", "connect")
	d.events("p", "off", "200", "connect", "up")
	d.put("/v1/products/p/renewal", `{"auto_renew":true}`)
	d.events("p", "on", "200", "connect", "up")
	if got := d.product("p").Licenses; got.Used != 5 && got.Used != 6 { // off may have come to its end once more.
		t.Errorf("licences %+v", got)
	}
}

// Worked case 5 (R6) and 6 (R9), and R8's taking back.
func TestAdministration(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, nil)
	for i, want := range []uint64{5, 10, 10} {
		var v accountView
		d.must("GET", "/v1/accounts/acme", "", &v)
		if v.Licenses.Gift.Total != want {
			t.Errorf("%d gifts after %d certifications", v.Licenses.Gift.Total, i)
		}
		d.must("POST", "/v1/accounts/acme/certify", "", nil)
		d.restart()
	}
	d.must("POST", "/v1/products", fmt.Sprintf(`{"product":"p","account":"acme","time_zone":%q,"plan":{"messages_per_day":1500}}`, noon()), nil)
	d.credit("p", "L1", 100)
	d.batch(append([]string{line("connect", "p", "d")}, repeat(1500, line("up", "p", "d"))...)...)
	d.events("p", "d", "429 message_quota_exceeded", "up")
	d.put("/v1/products/p/plan", `{"messages_per_day":3000}`)
	d.events("p", "d", "200", "up")
	d.ask("PUT", "/v1/products/p/plan", `{"messages_per_day":1500}`).refuse(t, 409, "plan_downgrade")
	for range 2 {
		var lot lotView
		d.must("POST", "/v1/products/p/lots/L1/void", `{"order":"RV-1","quantity":99}`, &lot)
		if lot.Quantity != 1 || lot.Available != 0 {
			t.Errorf("after taking 99 of 100 back: %+v", lot)
		}
		d.restart()
	}
	d.ask("POST", "/v1/products/p/lots/L1/void", `{"order":"RV-2","quantity":1}`).refuse(t, 409, "already_consumed")
}

// R17 over HTTP and a kill: the same id counts once, a void gives back once.
func TestUpgradeIDs(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", `{"ota_per_month":1}`)
	d.topup("p", "PACK", 1)
	d.batch(line("connect", "p", "d"))
	upgrade := func(typ, id string, size int) string {
		a := d.ask("POST", "/v1/events", fmt.Sprintf(`{"type":%q,"product":"p","device":"d","id":%q,"size":%d}`, typ, id, size))
		if a.status == 200 {
			return "accepted"
		}
		return a.problem(t).Code
	}
	for i, step := range []struct {
		typ, id string
		mb      int
		want    string
		used    uint64
	}{
		{"ota_void", "a", 0, "unknown_ota", 0},
		{"ota", "a", 6, "accepted", 2},
		{"ota", "a", 6, "accepted", 2},
		{"ota", "a", 7, "ota_id_reused", 2},
		{"ota", "b", 1, "ota_quota_exceeded", 2},
		{"ota_void", "a", 0, "accepted", 0},
		{"ota_void", "a", 0, "already_voided", 0},
		{"ota", "a", 6, "already_voided", 0},
		{"ota", "b", 1, "accepted", 1},
	} {
		if got := upgrade(step.typ, step.id, step.mb<<20); got != step.want {
			t.Fatalf("step %d: %s, want %s", i, got, step.want)
		}
		if i%2 == 0 {
			d.kill()
			d.start()
		}
		if o := d.device("p", "d").OTA; o.AllowanceUsed+o.TopupUsed != step.used {
			t.Fatalf("step %d: %+v used, want %d", i, o, step.used)
		}
	}
}

// 200 devices race for 3 licences while the daemon is killed: three are active, whatever was answered (R4).
func TestRaceForLicences(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p", `{}`)
	d.withoutGifts("p")
	d.credit("p", "L1", 3)
	for round := range 3 {
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { _, _ = d.try("POST", "/v1/events", []byte(line("connect", "p", fmt.Sprint("d", i)))) }) // A cut connection says nothing.
		}
		if round < 2 {
			d.kill()
		}
		wg.Wait()
		if round < 2 {
			d.start()
		}
	}
	if v := d.product("p"); v.Licenses != (counts{3, 3, 0}) || v.Devices.Active != 3 {
		t.Errorf("%+v", v)
	}
	serials := map[uint64]bool{}
	for _, l := range pages[licenseView](d, "/v1/products/p/licenses", "licenses") {
		serials[l.Serial] = true
		if l.State != "active" || !l.ExpiresAt.After(time.Now()) {
			t.Errorf("%+v", l)
		}
	}
	if len(serials) != 3 {
		t.Errorf("%d serials", len(serials))
	}
}
