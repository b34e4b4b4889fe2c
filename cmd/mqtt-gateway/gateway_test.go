package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// patience is when a test gives up waiting. It bounds a failure and measures nothing.
const patience = 2 * time.Minute

var interrupt = os.Interrupt

// running is a gateway that runs in this process on ports of its own.
type running struct {
	t    *testing.T
	at   addresses
	stop func() error // once
	log  bytes.Buffer // complete when stop has returned
}

func start(t *testing.T, f *fakeMeterd, change func(*options)) *running {
	t.Helper()
	o := options{
		listen:        "127.0.0.1:0",
		metricsListen: "127.0.0.1:0",
		meterdURL:     "http://" + f.address,
		token:         "t0ken",
		producer:      "gw-test",
		identity:      identityClientID,
		onUnavailable: "closed",
		transport:     "http",
		askTimeout:    patience,
	}
	if change != nil {
		change(&o)
	}
	if err := o.resolve(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan addresses, 1), make(chan error, 1)
	g := &running{t: t}
	go func() {
		done <- run(ctx, &o, slog.New(slog.NewTextHandler(&g.log, nil)), func(a addresses) { ready <- a })
	}()
	stopped := false
	g.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if t.Failed() {
				t.Log(g.log.String())
			}
			return err
		case <-time.After(patience):
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Errorf("the gateway did not stop:\n%s", stacks.String())
		}
	}
	t.Cleanup(func() {
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case g.at = <-ready:
	case err := <-done:
		t.Fatalf("the gateway ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the gateway did not start")
	}
	return g
}

// metric returns the value of a line of /metrics, "" without one.
func (g *running) metric(name string) string {
	g.t.Helper()
	resp, err := http.Get("http://" + g.at.metrics + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func TestDeniedConnects(t *testing.T) {
	f := newFake(t)
	f.denials = map[string]string{
		"dry":    "license_exhausted",
		"off":    "renewal_off",
		"halted": "suspended",
		"lost":   "unknown_product",
		"odd":    "code_of_the_future",
	}
	g := start(t, f, nil)
	for device, want := range map[string][2]byte{ // MQTT 5, 3.1.1
		"dry": {0x97, 5}, "off": {0x87, 5}, "halted": {0x8A, 5}, "lost": {0x87, 5}, "odd": {0x87, 5},
		"no/name": {0x85, 2}, "": {0x85, 2},
	} {
		if _, ack := g.dial("p1", device, 5, nil); ack.ReasonCode != want[0] {
			t.Errorf("%q: CONNACK %#x, want %#x", device, ack.ReasonCode, want[0])
		} else if code := f.denials[device]; code != "" && ack.Properties.ReasonString != code {
			t.Errorf("%q: reason %q, want %q", device, ack.Properties.ReasonString, code)
		}
		if _, ack := g.dial("p1", device, 4, nil); ack.ReasonCode != want[1] {
			t.Errorf("%q: 3.1.1 CONNACK %d, want %d", device, ack.ReasonCode, want[1])
		}
	}
	if got := f.heard("dry disconnect"); len(got) > 0 {
		t.Errorf("a device that was never let in was reported gone: %q", got)
	}
}

func TestDeniedPublishes(t *testing.T) {
	f := newFake(t)
	f.limit = 1
	g := start(t, f, nil)
	five, three := g.mustDial("p1", "five", 5), g.mustDial("p1", "three", 4)
	for i, tc := range []struct {
		qos byte
		ack byte
	}{{1, packets.Puback}, {1, packets.Puback}, {2, packets.Pubrec}} {
		id := uint16(i + 1)
		wantCode := byte(0x97)
		if i == 0 {
			wantCode = 0 // within the quota
		}
		five.publish("t", "x", tc.qos, id)
		ack := five.want(tc.ack)
		if ack.PacketID != id || ack.ReasonCode != wantCode {
			t.Errorf("MQTT 5 publish %d: id %d, reason %#x, want %#x", i, ack.PacketID, ack.ReasonCode, wantCode)
		}
		if i > 0 && ack.Properties.ReasonString != "message_quota_exceeded" {
			t.Errorf("MQTT 5 publish %d: reason %q", i, ack.Properties.ReasonString)
		}
		three.publish("t", "x", tc.qos, id)
		if ack := three.want(tc.ack); ack.PacketID != id {
			t.Errorf("3.1.1 publish %d: acknowledged %d", i, ack.PacketID)
		}
		if tc.qos == 2 {
			three.ack(packets.Pubrel, id)
			three.want(packets.Pubcomp)
		}
	}
	// QoS 0 beyond the quota is dropped, and the connection lives on.
	five.publish("t", "x", 0, 0)
	five.publish("t", "x", 1, 9)
	if ack := five.want(packets.Puback); ack.PacketID != 9 || ack.ReasonCode != 0x97 {
		t.Errorf("after QoS 0: %d %#x", ack.PacketID, ack.ReasonCode)
	}
	if got := g.metric(`meterd_gateway_events_total{type="up",verdict="message_quota_exceeded"}`); got != "6" {
		t.Errorf("denied ups in the metrics: %q, want 6", got)
	}
}

func TestTakeoverKeepsTheDeviceOnline(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	first := g.mustDial("p1", "d1", 5)
	other := g.mustDial("p2", "d1", 5) // Of another product: another device, another session.
	second := g.mustDial("p1", "d1", 5)
	if bye := first.wantClosed(); bye.ReasonCode != packets.ErrSessionTakenOver.Code {
		t.Errorf("the first connection ended with %#x", bye.ReasonCode)
	}
	other.publish("t", "x", 1, 1)
	other.want(packets.Puback)
	second.publish("t", "x", 1, 1)
	second.want(packets.Puback)
	_ = second.conn.Close()
	f.await("d1 disconnect", 1)
	if !f.online("p2/d1") || f.online("p1/d1") {
		t.Error("the wrong device is online")
	}
	want := []string{
		"d1 connect accepted",
		"d1 connect accepted",
		"d1 connect accepted",
		"d1 up x accepted",
		"d1 up x accepted",
		"d1 disconnect accepted",
	}
	if got := f.heard("d1"); !slices.Equal(got, want) {
		t.Errorf("meterd heard %q", got)
	}
}

func TestUsernameIdentityHasManyConnections(t *testing.T) {
	f := newFake(t)
	g := start(t, f, func(o *options) { o.identity = identityUsername })
	one, two := g.mustDial("p1/d1", "a", 5), g.mustDial("p1/d1", "b", 5)
	if _, ack := g.dial("d1", "c", 5, nil); ack.ReasonCode != 0x85 {
		t.Errorf("a username without product: %#x", ack.ReasonCode)
	}
	_ = one.conn.Close()
	two.publish("t", "x", 1, 1)
	two.want(packets.Puback)
	_ = two.conn.Close()
	f.await("d1 disconnect", 1)
	if got := f.heard("d1"); got[len(got)-1] != "d1 disconnect accepted" || len(got) != 4 {
		t.Errorf("meterd heard %q", got)
	}
}

func TestWillIsMetered(t *testing.T) {
	f := newFake(t)
	f.limits["poor"] = 0
	g := start(t, f, nil)
	sub := g.mustDial("p1", "watch", 5)
	sub.subscribe("#", 0)
	will := func(pk *packets.Packet) {
		pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, "gone", []byte(pk.Connect.ClientIdentifier)
	}
	for _, device := range []string{"poor", "rich"} {
		d, ack := g.dial("p1", device, 5, will)
		if ack.ReasonCode != 0 {
			t.Fatalf("%s: %#x", device, ack.ReasonCode)
		}
		_ = d.conn.Close()
		f.await(device+" disconnect", 1)
	}
	if pk := sub.want(packets.Publish); string(pk.Payload) != "rich" {
		t.Errorf("the will of %q came first: that of poor was denied", pk.Payload)
	}
	if got := f.heard(
		"rich",
	); !slices.Equal(
		got,
		[]string{"rich connect accepted", "rich up rich accepted", "rich disconnect accepted"},
	) {
		t.Errorf("meterd heard %q", got)
	}
}

func TestRedeliveryIsNotCountedAgain(t *testing.T) {
	f := newFake(t)
	f.limits["sub"] = 2
	g := start(t, f, nil)
	keep := func(pk *packets.Packet) {
		pk.Connect.Clean = false
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 3600, true
	}
	sub, _ := g.dial("p1", "sub", 5, keep)
	sub.subscribe("t", 1)
	pub := g.mustDial("p1", "pub", 5)
	pub.publish("t", "m1", 1, 1)
	pub.want(packets.Puback)
	got := sub.want(packets.Publish) // Not acknowledged.
	_ = sub.conn.Close()
	f.await("sub disconnect", 1)
	for i, m := range []string{"m2", "m3"} { // Both wait for the absent device and cost nothing yet.
		pub.publish("t", m, 1, uint16(i+2))
		pub.want(packets.Puback)
	}
	pub.publish("done", "x", 2, 9) // By its PUBREC, m3 has been handed to the session.
	pub.want(packets.Pubrec)
	if n := len(f.heard("sub down")); n != 1 {
		t.Fatalf("%d deliveries counted before the device was back", n)
	}
	sub, ack := g.dial("p1", "sub", 5, keep)
	if !ack.SessionPresent {
		t.Fatal("the session was lost")
	}
	delivered := map[string]uint16{}
	for range 2 {
		pk := sub.want(packets.Publish)
		delivered[string(pk.Payload)] = pk.PacketID
	}
	if delivered["m1"] != got.PacketID || len(delivered) != 2 {
		t.Errorf("delivered again: %v, first was %d", delivered, got.PacketID)
	}
	if n := len(f.heard("sub down m1")); n != 1 {
		t.Errorf("m1 was counted %d times", n)
	}
	downs := f.heard("sub down")
	if denied := strings.Count(strings.Join(downs, "\n"), "message_quota_exceeded"); len(downs) != 3 || denied != 1 {
		t.Errorf("meterd heard %q, want m1 once and one of m2 and m3 denied", downs)
	}
	for _, id := range delivered {
		sub.ack(packets.Puback, id)
	}
	_ = sub.conn.Close()
	f.await("sub disconnect", 2)
	sub, _ = g.dial("p1", "sub", 5, keep)
	f.set(func() { f.limits["sub"] = 100 })
	pub.publish("t", "m4", 1, 4)
	if pk := pub.want(packets.Puback); pk.ReasonCode != 0 {
		t.Errorf("m4: %#x", pk.ReasonCode)
	}
	if pk := sub.want(packets.Publish); string(pk.Payload) != "m4" {
		t.Errorf("%q came although it was acknowledged or denied before", pk.Payload)
	}
}

func TestSubscriberThatWaitsDoesNotHoldUpPublishers(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	sub := g.mustDial("p1", "sub", 5)
	sub.subscribe("t", 0)
	first := g.mustDial("p1", "first", 5)
	hold := make(chan struct{})
	f.set(func() { f.hold, f.holding = hold, "sub" })
	first.publish("t", "m", 0, 0)
	f.awaitThat("the delivery to be asked about", func() bool { return f.held > 0 })
	// Its lane is stuck with sub's question. Publishers share it by chance, but not all of sixteen (8^-16).
	acked := make(chan struct{}, 16)
	for i := range 16 {
		d := g.lateDial("p1", fmt.Sprintf("pub%d", i))
		go func() {
			if d.publishAndWait("t") == nil {
				acked <- struct{}{}
			}
		}()
	}
	select {
	case <-acked:
	case <-time.After(patience):
		t.Error("no publisher got through while a delivery waits")
	}
	close(hold)
}

// lateDial opens a connection without waiting for its CONNACK.
func (g *running) lateDial(product, device string) *lateDevice {
	g.t.Helper()
	return &lateDevice{g: g, product: product, device: device}
}

// lateDevice connects and publishes beside the test, where nothing may fail it.
type lateDevice struct {
	g               *running
	product, device string
}

func (l *lateDevice) publishAndWait(topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := l.g.stock(ctx, "mosquitto_pub", "-u", l.product, "-i", l.device, "-t", topic, "-q", "1", "-m", "x")
	return cmd.Run()
}

func TestStopDisconnectsEverybody(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	if got := f.heard(""); !slices.Equal(got, []string{"offline gw-test"}) {
		t.Errorf("before the first connection meterd heard %q", got)
	}
	devices := []*rawDevice{}
	for i := range 20 {
		devices = append(devices, g.mustDial("p1", fmt.Sprintf("d%d", i), 5))
	}
	if got := g.metric("meterd_gateway_connections"); got != "20" {
		t.Errorf("connections in the metrics: %q", got)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if bye := d.wantClosed(); bye.ReasonCode != packets.ErrServerShuttingDown.Code {
			t.Errorf("DISCONNECT %#x", bye.ReasonCode)
		}
	}
	for i := range 20 {
		if f.online(fmt.Sprintf("p1/d%d", i)) {
			t.Errorf("d%d is still online", i)
		}
	}
}
