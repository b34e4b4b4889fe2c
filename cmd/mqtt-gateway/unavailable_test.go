package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// impatient makes devices wait less: these tests want to see what happens then. On a machine that stood still it may
// also happen while meterd is there.
func impatient(policy string) func(*options) {
	return func(o *options) { o.onUnavailable, o.askTimeout = policy, 500*time.Millisecond }
}

// dialUntilAccepted connects a device, again and again while it is refused because meterd took too long.
func (g *running) dialUntilAccepted(username, id string, version byte) *rawDevice {
	g.t.Helper()
	var d *rawDevice
	var ack packets.Packet
	if !within(patience, func() bool {
		d, ack = g.dial(username, id, version, nil)
		return ack.ReasonCode == 0
	}) {
		g.t.Fatalf("%s/%s: CONNACK %#x", username, id, ack.ReasonCode)
	}
	return d
}

func TestFailClosed(t *testing.T) {
	f := newFake(t)
	g := start(t, f, impatient("closed"))
	five, three := g.dialUntilAccepted("p1", "five", 5), g.dialUntilAccepted("p1", "three", 4)
	f.stop()
	// The first one may have gone out on the connection that meterd was about to close; the next one is refused by what is
	// known then.
	for i, want := range []string{"ambiguous unavailable", "unavailable"} {
		five.publish("t", "x", 1, uint16(1+i))
		if ack := five.want(
			packets.Puback,
		); ack.ReasonCode != 0x83 ||
			!slices.Contains(strings.Fields(want), ack.Properties.ReasonString) {
			t.Errorf("MQTT 5: PUBACK %#x %q", ack.ReasonCode, ack.Properties.ReasonString)
		}
	}
	three.publish("t", "x", 1, 1)
	three.wantClosed() // Unacknowledged: the device keeps the message.
	if _, ack := g.dial("p1", "new", 5, nil); ack.ReasonCode != 0x88 {
		t.Errorf("MQTT 5: CONNACK %#x", ack.ReasonCode)
	}
	out, exit := g.pub(numbered(1), "-V", "mqttv311", "-u", "p1", "-i", "new3", "-t", "t")
	if exit == 0 || !strings.Contains(strings.ToLower(out), "unavailable") {
		t.Errorf("3.1.1: exit %d, %q", exit, out)
	}
	f.start()
	// That three has gone could not be said; it is, as soon as meterd is back.
	f.await("three disconnect", 1)
	f.awaitThat("five's connection to be there still", func() bool { return f.devices["p1/five"].online })
	if got := f.heard("new"); len(got) > 0 {
		t.Errorf("of devices that were refused meterd heard %q", got)
	}
}

func TestFailOpen(t *testing.T) {
	f := newFake(t)
	f.denials["pirate"] = "license_exhausted"
	g := start(t, f, impatient("open"))
	sub := g.sub("-u", "p1", "-i", "dashboard", "-t", "t", "-q", "1")
	const unasked = "meterd_gateway_unasked_total"
	connects := map[string]string{"0": "2", "1": "3"}[g.metric(unasked+`{type="connect"}`)]
	f.stop()
	pirate := g.mustDial("p1", "pirate", 5)
	if out, exit := g.pub(numbered(3), "-u", "p1", "-i", "sensor", "-t", "t", "-q", "1"); exit != 0 {
		t.Fatalf("mosquitto_pub while meterd is down: exit %d, %s", exit, out)
	}
	if got := sub.until("m3"); !slices.Equal(got, numbered(2)) {
		t.Errorf("delivered %q", got)
	}
	for typ, want := range map[string]string{"connect": connects, "up": "3", "down": "3"} {
		if got := g.metric(unasked + `{type="` + typ + `"}`); got != want {
			t.Errorf("unasked %s: %q, want %s", typ, got, want)
		}
	}
	f.start()
	f.await("sensor disconnect", 1)
	want := []string{
		"sensor connect accepted",
		"sensor up accepted",
		"sensor up accepted",
		"sensor up accepted",
		"sensor disconnect accepted",
	}
	if got := f.heard("sensor"); !slices.Equal(got, want) {
		t.Errorf("meterd was told %q", got)
	}
	f.await("dashboard down", 3)
	if bye := pirate.wantClosed(); bye.ReasonCode != 0x97 {
		t.Errorf("a device let in unasked that has no licence: DISCONNECT %#x", bye.ReasonCode)
	}
}

func TestLastKnown(t *testing.T) {
	f := newFake(t)
	f.denials["dry"] = "suspended"
	g := start(t, f, impatient("last-known"))
	known := g.dialUntilAccepted("p1", "known", 5)
	if !within(patience, func() bool {
		_, ack := g.dial("p1", "dry", 5, nil)
		return ack.Properties.ReasonString == "suspended"
	}) {
		t.Fatal("meterd did not deny it")
	}
	known.publish("t", "x", 1, 1)
	known.want(packets.Puback)
	const unasked = `meterd_gateway_unasked_total{type="up"}`
	passed := map[string]string{"0": "3", "1": "4"}[g.metric(unasked)]
	f.stop()
	for i := range 3 {
		known.publish("t", "x", 1, uint16(2+i))
		if ack := known.want(packets.Puback); ack.ReasonCode != 0 && ack.ReasonCode != 0x10 {
			t.Errorf("a device that meterd let pass: PUBACK %#x %q", ack.ReasonCode, ack.Properties.ReasonString)
		}
	}
	if _, ack := g.dial("p1", "dry", 5, nil); ack.ReasonCode != 0x8a || ack.Properties.ReasonString != "suspended" {
		t.Errorf("a device that meterd denied: CONNACK %#x %q", ack.ReasonCode, ack.Properties.ReasonString)
	}
	if _, ack := g.dial("p1", "new", 5, nil); ack.ReasonCode != 0x88 {
		t.Errorf("a device that meterd was never asked about: CONNACK %#x", ack.ReasonCode)
	}
	if got := g.metric(unasked); got != passed {
		t.Errorf("%s messages passed unasked, want %s", got, passed)
	}
	f.start()
	f.await("known up", 4)
	if got := f.heard("new"); len(got) > 0 {
		t.Errorf("of a device that was refused meterd heard %q", got)
	}
}

// A gateway that stops in an outage leaves what passed in its spool, and the next one reports it before it says that it
// starts.
func TestSpoolSurvivesTheGateway(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	withSpool := func(o *options) {
		impatient("open")(o)
		o.spool.Dir, o.spool.BytesMax = dir, spoolBytes
	}
	g := start(t, f, withSpool)
	f.stop()
	d := g.mustDial("p1", "d1", 5)
	for i := range 3 {
		d.publish("t", "x", 1, uint16(1+i))
		d.want(packets.Puback)
	}
	if err := g.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(g.log.String(), "stay in the spool") {
		t.Errorf("it said\n%s", g.log.String())
	}
	before := len(f.heard(""))
	f.start()
	next := start(t, f, func(o *options) {
		withSpool(o)
		o.askTimeout = patience // Else a slow machine lets it start unreported.
	})
	want := []string{
		"d1 connect accepted",
		"d1 up accepted",
		"d1 up accepted",
		"d1 up accepted",
		"d1 disconnect accepted",
		"offline gw-test",
	}
	if got := f.heard("")[before:]; !slices.Equal(got, want) {
		t.Errorf("meterd heard %q, want %q", got, want)
	}
	if got := next.metric("meterd_gateway_spool_bytes"); got != "0" {
		t.Errorf("the spool has %s bytes", got)
	}
}

func TestOpenStartsWithoutMeterd(t *testing.T) {
	f := newFake(t)
	f.stop()
	g := start(t, f, impatient("open"))
	d := g.mustDial("p1", "d1", 5)
	d.publish("t", "x", 1, 1)
	if ack := d.want(packets.Puback); ack.ReasonCode != 0 {
		t.Errorf("PUBACK %#x", ack.ReasonCode)
	}
	f.start()
	f.await("d1 up", 1)
	if got := slices.Compact(
		f.heard(""),
	); !slices.Equal(
		got,
		[]string{"offline gw-test", "d1 connect accepted", "d1 up accepted"},
	) {
		t.Errorf("meterd heard %q: offline must come first", got)
	}
}
