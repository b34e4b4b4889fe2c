package main_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// pump sends batches of one message of every device from several gateways at a time, and holds each batch against what
// was in force when it was sent: after the answer to a change, the first event decided sees it, for every device.
type pump struct {
	d       *daemon
	devices int
	force   atomic.Pointer[inForce]
	batches atomic.Int64 // answered
	stop    context.CancelFunc
	senders sync.WaitGroup
}

// inForce is what was answered last: the code of every device's message, "" while a change is asked for.
type inForce struct {
	want func(device int) string
}

func (d *daemon) newPump(devices int) *pump {
	ctx, stop := context.WithCancel(context.Background())
	p := &pump{d: d, devices: devices, stop: stop}
	p.force.Store(&inForce{})
	lines := make([]string, devices)
	for i := range lines {
		lines[i] = line("up", "p1", fmt.Sprint("d", i))
	}
	body := []byte(strings.Join(lines, "\n"))
	for range 4 {
		p.senders.Go(func() {
			for ctx.Err() == nil && p.batch(body) {
				p.batches.Add(1)
			}
		})
	}
	return p
}

func (p *pump) batch(body []byte) bool {
	before := p.force.Load()
	a, err := p.d.try("POST", "/v1/events", body, "Content-Type", asNDJSON)
	if err != nil {
		p.d.t.Errorf("no answer: %v", err)
		return false
	}
	codes, err := a.verdicts(p.devices)
	if err != nil {
		p.d.t.Error(err)
		return false
	}
	if p.force.Load() != before || before.want == nil {
		return true // Something changed meanwhile: either is right.
	}
	for i, got := range codes {
		if want := before.want(i); got != want {
			p.d.t.Errorf("device %d: %s, want %s", i, got, want)
			return false
		}
	}
	return true
}

// change makes a change under traffic and lets so many batches see it.
func (p *pump) change(what string, do func(), want func(device int) string) {
	p.d.t.Helper()
	p.force.Store(&inForce{})
	do()
	p.force.Store(&inForce{want})
	from := p.batches.Load()
	await(p.d.t, what+" is seen by 12 batches", func() bool { return p.batches.Load() >= from+12 || p.d.t.Failed() })
}

// every returns the same code for every device.
func every(code string) func(int) string { return func(int) string { return code } }

// R9, R20: suspension of a device, a product and an account, and a plan upgrade, are seen by the first event decided
// after their answer, for every device. Who is online is put offline and its gateway told, each device once.
func TestSwitchesAtOnce(t *testing.T) {
	t.Parallel()
	const devices = 300
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":null,"ota_per_month":1}`)
	d.credit("p1", "PO-1", devices)
	online := func() {
		t.Helper()
		lines := make([]string, devices)
		for i := range lines {
			lines[i] = line("connect", "p1", fmt.Sprint("d", i))
		}
		a := d.ask("POST", "/v1/events", strings.Join(lines, "\n"), "Content-Type", asNDJSON, "Meterd-Producer", "gw")
		codes, err := a.verdicts(devices)
		if err != nil || slices.ContainsFunc(codes, func(c string) bool { return c != "accepted" }) {
			t.Fatalf("connect: %v %q", err, codes)
		}
	}
	online()
	hears := d.listen("gw", "")
	p := d.newPump(devices)
	p.change("the beginning", func() {}, every("accepted"))
	seventh := func() {
		t.Helper()
		p.change("a device's suspension", func() { d.suspend("/v1/products/p1/devices/d7", true) }, func(i int) string {
			if i == 7 {
				return "suspended"
			}
			return "accepted"
		})
		if c := hears.next(); c.String() != "disconnect p1 d7 suspended" {
			t.Errorf("heard %s", c)
		}
	}
	seventh()
	for _, path := range []string{"/v1/products/p1", "/v1/accounts/p1"} {
		p.change("the suspension of "+path, func() { d.suspend(path, true) }, every("suspended"))
		if v := d.product("p1"); v.Devices.Online != 0 {
			t.Errorf("%s is suspended and %d devices are online", path, v.Devices.Online)
		}
		told := map[string]bool{}
		for _, c := range hears.take(devices - 1) {
			if c.Event != "disconnect" || c.Reason != "suspended" || told[c.Device] || c.Device == "d7" {
				t.Errorf("heard %s", c)
			}
			told[c.Device] = true
		}
		d.suspend("/v1/products/p1/devices/d7", false)
		p.change("letting go of "+path, func() { d.suspend(path, false) }, every("accepted"))
		online()
		seventh()
	}
	p.stop()
	p.senders.Wait()
	if v := d.product("p1"); v.Devices.Online != devices-1 || v.Licenses.Used != devices {
		t.Errorf("at the end: %+v %+v", v.Devices, v.Licenses)
	}
}

// Worked case 6 for many devices at once (R9): at 1500 used, 3000 is seen by every device's next message; the day's
// count goes on. A plan that lowers anything is refused and changes nothing.
func TestWorkedCase6(t *testing.T) {
	t.Parallel()
	const devices = 50
	d := newDaemon(t)
	d.withProduct("p1", `{"messages_per_day":1500}`)
	d.credit("p1", "PO-1", devices)
	var lines []string
	for i := range devices {
		device := fmt.Sprint("d", i)
		lines = append(append(lines, line("connect", "p1", device)), repeat(1500, line("up", "p1", device))...)
		if len(lines) > 30_000 || i == devices-1 {
			if codes := d.batch(lines...); slices.ContainsFunc(codes, func(c string) bool { return c != "accepted" }) {
				t.Fatal("a message within the quota was denied")
			}
			lines = lines[:0]
		}
	}
	ends := d.device("p1", "d0").ExpiresAt
	p := d.newPump(devices)
	p.change("the quota", func() {}, every("message_quota_exceeded"))
	for _, lower := range []string{
		`{"messages_per_day":1499}`, `{"messages_per_day":3000,"validity":"P4Y"}`,
		`{"ota_per_month":0}`,
	} {
		d.ask("PUT", "/v1/products/p1/plan", lower).refuse(t, 409, "plan_downgrade")
	}
	p.change("what was refused", func() {}, every("message_quota_exceeded"))
	p.change("the upgrade", func() {
		d.must("PUT", "/v1/products/p1/plan", `{"messages_per_day":3000,"validity":"P6Y"}`, nil)
	}, func(int) string { return "accepted" })
	p.stop()
	p.senders.Wait()
	d.ask("PUT", "/v1/products/p1/plan", `{"messages_per_day":1500}`).refuse(t, 409, "plan_downgrade")
	for range 2 {
		for i := range devices {
			v := d.device("p1", fmt.Sprint("d", i))
			if v.Messages.Up <= 1500 || v.Messages.Limit == nil || *v.Messages.Limit != 3000 ||
				!v.ExpiresAt.Equal(v.ActivatedAt.AddDate(6, 0, 0)) {
				t.Fatalf("after the upgrade: %+v", v)
			}
		}
		d.kill()
		d.start()
	}
	if !d.device("p1", "d0").ExpiresAt.After(ends) {
		t.Error("the upgrade did not move the end")
	}
}

// Worked case 5 (R6): certifying at once and again gives five more gifts, once; they serve any product, behind its lots
// (R5).
func TestWorkedCase5(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal"}`, nil)
	d.must("POST", "/v1/products", `{"product":"p1","account":"acme"}`, nil)
	d.must("POST", "/v1/products", `{"product":"p2","account":"acme"}`, nil)
	d.credit("p1", "PO-1", 1)
	for i := range 4 { // One from the lot, three gifts.
		d.play("p1", []row{{"gw", "connect", fmt.Sprint("d", i), "accepted"}})
	}
	if v := d.account(
		"acme",
	); v.Kind != "personal" || v.Licenses.Gift != (counts{5, 3, 2}) ||
		v.Licenses.counts != (counts{6, 4, 2}) {
		t.Errorf("before: %+v", v)
	}
	for round := range 2 {
		for _, a := range d.atOnce(throng, func(int) (answer, error) {
			return d.try("POST", "/v1/accounts/acme/certify",
				nil)
		}) {
			var v accountView
			a.into(t, &v)
			if a.status != 200 || v.Kind != "enterprise" || v.Licenses.Gift != (counts{10, 3, 7}) {
				t.Errorf("certified: %d %s", a.status, a.body)
			}
		}
		d.kill()
		d.start()
		if v := d.account("acme"); v.Licenses.Gift != (counts{10, 3, 7}) || v.Licenses.counts != (counts{11, 4, 7}) {
			t.Errorf("round %d: %+v", round, v.Licenses)
		}
	}
	for i := range 7 {
		d.play("p2", []row{{"gw", "connect", fmt.Sprint("e", i), "accepted"}})
	}
	d.play("p1", []row{{"gw", "connect", "late", "license_exhausted"}})
	sources := map[string]int{}
	for _, l := range append(d.licenses("p1"), d.licenses("p2")...) {
		sources[l.Source]++
	}
	if sources["PO-1"] != 1 || sources["gift"] != 10 || len(sources) != 2 {
		t.Errorf("licences came from %v", sources)
	}
	if v := d.product("p1"); v.Licenses != (counts{4, 4, 0}) {
		t.Errorf("p1 holds its lot and the gifts that it drew: %+v (R7)", v.Licenses)
	}
}

// R19 at once: after the answer nothing is renewed any more, whoever is online; the switch back lets in again.
func TestRenewalSwitchedAtOnce(t *testing.T) {
	t.Parallel()
	const devices = 60
	d := newDaemon(t)
	d.withProduct("p1", `{"validity":"PT1S"}`)
	d.credit("p1", "PO-1", 100_000)
	lines := make([]string, devices)
	for i := range lines {
		lines[i] = line("connect", "p1", fmt.Sprint("d", i))
	}
	d.batch(lines...)
	await(t, "licences are renewed", func() bool { return d.product("p1").Licenses.Used > devices })
	d.must("PUT", "/v1/products/p1/renewal", `{"auto_renew":false}`, nil)
	used := d.product("p1").Licenses.Used
	await(t, "all are out", func() bool { return d.product("p1").Devices.Online == 0 })
	for _, got := range d.batch(lines...) {
		if got != "renewal_off" {
			t.Fatalf("a connect after its end: %s", got)
		}
	}
	if now := d.product("p1").Licenses; now.Used != used || now.Available == 0 {
		t.Errorf("%d were used at the answer, %+v at the end", used, now)
	}
	d.must("PUT", "/v1/products/p1/renewal", `{"auto_renew":true,"except":["d0"]}`, nil)
	for i, got := range d.batch(lines...) {
		if want := map[bool]string{true: "renewal_off", false: "accepted"}[i == 0]; got != want {
			t.Errorf("device %d: %s, want %s", i, got, want)
		}
	}
}
