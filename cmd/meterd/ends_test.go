package main_test

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// passing is a plan whose licences end within seconds.
const passing = `{"validity":"PT4S","messages_per_day":null}`

// lasting is the same of licences that do not end while a test runs.
const lasting = `{"validity":"P1Y","messages_per_day":null}`

// Worked case 4 (R3): an online device reaches its end with one licence left and goes on without a gap, while it sends
// as while it is silent; with none left its gateway is told to disconnect it, and its next connect is denied. An
// offline one costs nothing.
func TestWorkedCase4(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", passing)
	d.withoutGifts("p1")
	d.credit("p1", "PO-1", 5)
	hears := d.listen("gw", "")
	// In one request: however slow the machine is, off is offline before its end, and the other two have the same one.
	together := strings.Join([]string{
		line(
			"connect",
			"p1",
			"off",
		),
		line("disconnect", "p1", "off"),
		line("connect", "p1", "silent"),
		line("connect", "p1", "busy"),
	}, "\n")
	if a := d.ask(
		"POST",
		"/v1/events",
		together,
		"Content-Type",
		asNDJSON,
		"Meterd-Producer",
		"gw",
	); string(
		a.body,
	) != `{"accepted":4,"denied":[]}` {
		t.Fatalf("%d %s", a.status, a.body)
	}
	// Two are left, for the two that are online. The view of one may say that it ended until it is renewed, its messages
	// pass all the time.
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for d.product("p1").Licenses.Used < 5 {
		got, answered := d.as("gw", line("up", "p1", "busy")).code(t), time.Now()
		if got == "license_exhausted" &&
			d.product("p1").Licenses.Used == 5 { // Has its second one ended too, on a machine that stood still?
			if lives := d.livesOf("p1", "busy"); len(lives) == 2 && !answered.Before(lives[1].ExpiresAt) {
				break
			}
		}
		if got != "accepted" {
			t.Fatalf("there was a gap, with a licence left: %s", got)
		}
		<-tick.C
	}
	for _, device := range []string{"silent", "busy"} {
		v, seen := d.device("p1", device), time.Now()
		lives := d.livesOf("p1", device)
		if len(lives) != 2 {
			t.Fatalf("%s had the licences %+v", device, lives)
		}
		if seen.Before(lives[1].ExpiresAt) &&
			(!v.Online || v.State != "active" || !v.ActivatedAt.Equal(lives[1].ActivatedAt)) {
			t.Fatalf("%s is %+v, its licences %+v", device, v, lives)
		}
		if gap := lives[1].ActivatedAt.Sub(lives[0].ExpiresAt); gap < 0 {
			t.Errorf("%s was renewed %s before its end", device, -gap)
		} else {
			t.Logf("%s: renewed in the second %d after the one of its end", device, gap/time.Second)
		}
	}
	if v := d.device("p1", "off"); v.State != "unactivated" || v.Online || len(d.livesOf("p1", "off")) != 1 {
		t.Errorf("a device that never returned: %+v", v)
	}
	// None is left now.
	var heard []string
	for _, c := range hears.take(2) {
		heard = append(heard, c.String())
	}
	slices.Sort(heard)
	if want := []string{
		"disconnect p1 busy license_exhausted",
		"disconnect p1 silent license_exhausted",
	}; !slices.Equal(
		heard,
		want,
	) {
		t.Errorf("the gateway heard %q", heard)
	}
	for _, device := range []string{"silent", "busy", "off"} {
		if v := d.device("p1", device); v.State != "unactivated" || v.Online {
			t.Errorf("out of licences: %+v", v)
		}
		d.play("p1", []row{{"gw", "connect", device, "license_exhausted"}, {"gw", "up", device, "license_exhausted"}})
	}
	if v := d.product("p1"); v.Licenses != (counts{5, 5, 0}) || v.Devices.Active != 0 || v.Devices.Online != 0 {
		t.Errorf("the product: %+v %+v", v.Licenses, v.Devices)
	}
}

// livesOf returns a device's licences, oldest first.
func (d *daemon) livesOf(product, device string) (lives []licenseView) {
	d.t.Helper()
	for _, l := range d.licenses(product) {
		if l.Device == device {
			lives = append(lives, l)
		}
	}
	return lives
}

// A dry pool puts online devices offline by itself, and the command stream says so: to their holder, to who hears all,
// and again from the last id on, also after kill -9; until the device connects.
func TestDryPool(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", lasting)
	d.drawGifts("p1", 4)
	for _, device := range []string{"d1", "d2", "d3"} {
		d.play("p1", []row{{"gw-1", "connect", device, "accepted"}})
	}
	d.play("p1", []row{{"", "connect", "free", "accepted"}})
	d.must("PUT", "/v1/products/p1/plan", passing, nil) // None ends before all have connected, and took what there is.
	holder, other, all := d.listen("gw-1", ""), d.listen("gw-2", ""), d.listen("", "")
	first := holder.take(4)
	whole := all.take(4)
	if !slices.Equal(first, whole) {
		t.Errorf("the holder heard %q, who hears all %q", first, whole)
	}
	var devices []string
	for i, c := range first {
		devices = append(devices, c.Device)
		if c.Event != "disconnect" || c.Product != "p1" || c.Reason != "license_exhausted" {
			t.Errorf("command %d: %s", i, c)
		}
		if v := d.device("p1", c.Device); v.State != "unactivated" || v.Online {
			t.Errorf("after the command: %+v", v)
		}
	}
	slices.Sort(devices)
	if !slices.Equal(devices, []string{"d1", "d2", "d3", "free"}) {
		t.Errorf("disconnected were %q", devices)
	}
	if c := other.next(); c.Device != "free" {
		t.Errorf("another gateway heard %s", c)
	}
	for round := range 2 { // as it goes on, and after kill -9
		for from, want := range map[string][]told{first[0].ID: first[1:], first[2].ID: first[3:], "": first} {
			if got := d.listen("gw-1", from).take(len(want)); !slices.Equal(got, want) {
				t.Errorf("round %d, behind %q: %q, want %q", round, from, got, want)
			}
		}
		if round == 0 {
			d.kill()
			d.start()
		}
	}
	if list := d.listen("gw-1", first[3].ID).until(d.mark("p1", "MARK")); len(list) > 0 {
		t.Errorf("behind the last: %q", list)
	}
	// Who connects again needs no command any more; who may not is told still.
	d.must("PUT", "/v1/products/p1/plan", lasting, nil)
	d.credit("p1", "PO-1", 1)
	d.play(
		"p1",
		[]row{{"gw-1", "connect", first[1].Device, "accepted"}, {"gw-1", "disconnect", first[1].Device, "accepted"}},
	)
	kept := slices.Delete(slices.Clone(first), 1, 2)
	got := d.listen("gw-1", "").take(3)
	for i, c := range got {
		if c.String() != kept[i].String() {
			t.Errorf("kept command %d is %s, want %s", i, c, kept[i])
		}
	}
}

// Whose renewal is switched off ends although licences are left, and stays out, also through kill -9 (R19).
func TestRenewalOff(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{"validity":"PT2S"}`)
	d.credit("p1", "PO-1", 100_000) // Whoever is online takes one every two seconds.
	hears := d.listen("gw", "")
	d.play("p1", []row{{"gw", "connect", "out", "accepted"}, {"gw", "connect", "on", "accepted"}})
	d.must("PUT", "/v1/products/p1/renewal", `{"auto_renew":true,"except":["out"]}`, nil)
	lives := len(d.livesOf("p1", "out")) // It may have been renewed before the switch.
	if c := hears.next(); c.String() != "disconnect p1 out renewal_off" {
		t.Errorf("the gateway heard %s", c)
	}
	if v := d.device("p1", "out"); v.State != "unactivated" || v.Online {
		t.Errorf("at its end: %+v", v)
	}
	await(t, "the other device is renewed", func() bool { return len(d.livesOf("p1", "on")) > 1 })
	for range 2 {
		for _, typ := range append(uses(), "connect") {
			d.play("p1", []row{{"gw", typ, "out", "renewal_off"}})
		}
		if n := len(d.livesOf("p1", "out")); n != lives || d.product("p1").Licenses.Available == 0 {
			t.Errorf("it has %d licences, had %d at the switch", n, lives)
		}
		d.kill()
		d.start()
	}
	d.must("PUT", "/v1/products/p1/renewal", `{"auto_renew":true}`, nil)
	d.play("p1", []row{{"gw", "up", "out", "not_activated"}, {"gw", "connect", "out", "accepted"}})
}
