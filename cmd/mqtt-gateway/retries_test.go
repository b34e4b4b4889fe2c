package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// newChaos returns a meterd behind a network that cuts, and the dice that METERD_TEST_SEED names.
func newChaos(t *testing.T, licenses int) (*world, *cutter, *rand.Rand) {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("METERD_TEST_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("METERD_TEST_SEED=%d", seed)
	w := newWorldWithoutGateway(t, licenses)
	c := newCutter(t, w.listen, rand.New(rand.NewPCG(seed, 1)))
	w.via = c.listener.Addr().String()
	return w, c, rand.New(rand.NewPCG(seed, 0))
}

// TestEndToEndRetries: meterd is killed and restarted, and once stopped in order, under MQTT traffic over a network
// that cuts answers. Nobody notices: every message of QoS 1 is acknowledged, and what was acknowledged or delivered is
// counted once and logged once, for each device. Then an outage is longer than a gateway's deadline: what it refuses is
// counted nowhere, unless the device was told "ambiguous".
func TestEndToEndRetries(t *testing.T) {
	endToEnd(t)
	w, network, dice := newChaos(t, 20)
	w.startGateway()
	devices := w.publishers(8)
	screen := w.mustDial("large", "screen", 5)
	screen.subscribe("t/"+devices[0].name, 1)
	const kills, stops = 4, 1
	delivered := 0
	for i := range kills + stops {
		restarted := w.restart(
			time.Duration(50+dice.IntN(400))*time.Millisecond,
			time.Duration(dice.IntN(300))*time.Millisecond,
			i == 2,
		)
		w.publishUntil(devices, restarted, func() { delivered += w.deliver(screen, devices[0], delivered) })
	}
	const replays = "meterd_gateway_replayed_total"
	for more := 0; more < 100 && w.metric(replays) == "0"; more++ { // Until the network was bad enough.
		w.publishUntil(devices, upAlready(), func() { delivered += w.deliver(screen, devices[0], delivered) })
	}
	sum := w.compare(devices)
	w.compareDeliveries(devices[0], delivered)
	retries, replayed := w.metric("meterd_gateway_retries_total"), w.metric(replays)
	t.Logf(
		"%d kills, %d stop, %d connections cut: %d published, all acknowledged, counted and logged once; %d delivered, "+
			"counted and logged once; "+
			"%s requests sent again, %s answers replayed",
		kills,
		stops,
		network.cuts.Load(),
		sum.acknowledged,
		delivered,
		retries,
		replayed,
	)
	if sum.refused > 0 || sum.ambiguous > 0 {
		t.Errorf("%+v: a restart was noticed", sum)
	}
	if replayed == "0" {
		t.Error("no answer was replayed: the network was too good")
	}
	w.gateway.terminate(t)
	w.outage(devices)
}

// outage is the second half: a gateway whose deadline is shorter than the time that meterd is down.
func (w *world) outage(devices []*publisher) {
	w.t.Helper()
	w.startGateway("--ask-timeout", "400ms")
	w.connect(devices)
	w.publishUntil(devices, w.restart(100*time.Millisecond, 2*time.Second, false), nil)
	sum := w.compare(devices)
	w.t.Logf(
		"an outage longer than the deadline: %+v; refused ones are counted nowhere, of the ambiguous %d are",
		sum,
		sum.counted-sum.acknowledged,
	)
	if sum.refused == 0 {
		w.t.Error("nothing was refused: the outage was too short")
	}
}

// TestEndToEndOpenReportsExactly: failing open, with outages longer than the deadline, every message is acknowledged at
// once and counted once in the end, those included whose answer was lost.
func TestEndToEndOpenReportsExactly(t *testing.T) {
	endToEnd(t)
	w, network, dice := newChaos(t, 20)
	w.startGateway("--on-unavailable", "open", "--ask-timeout", "300ms")
	devices := w.publishers(8)
	// However long meterd takes to come back, no device reaches its quota, and the gateway can remember what passed.
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for range 3 {
		restarted := w.restart(
			time.Duration(50+dice.IntN(200))*time.Millisecond,
			time.Duration(500+dice.IntN(500))*time.Millisecond,
			false,
		)
		w.publishUntil(devices, restarted, func() { <-pace.C })
	}
	unasked := w.metric(`meterd_gateway_unasked_total{type="up"}`)
	w.await("everything is reported", func() bool { return w.metric("meterd_gateway_unasked_pending") == "0" })
	sum := summary{}
	for _, p := range devices {
		sum.acknowledged += p.acknowledged
		logged := 0
		for _, e := range w.log("large", p.name) {
			if e.Type == "up" && e.Verdict == "accepted" {
				logged++
			}
		}
		v := w.view("large", p.name)
		if v.Messages.Up != p.acknowledged || logged != p.acknowledged || p.acknowledged != len(p.told) {
			t.Errorf(
				"%s: %d published, %d acknowledged, %d counted, %d logged",
				p.name,
				len(p.told),
				p.acknowledged,
				v.Messages.Up,
				logged,
			)
		}
	}
	t.Logf(
		"3 outages, %d connections cut: %d acknowledged = counted = logged, %s of them unasked; %s requests sent again, %s "+
			"answers replayed",
		network.cuts.Load(),
		sum.acknowledged,
		unasked,
		w.metric("meterd_gateway_retries_total"),
		w.metric("meterd_gateway_replayed_total"),
	)
	if unasked == "0" {
		t.Error("nothing passed unasked: the outages were too short")
	}
}

// restart ends meterd after a while, by SIGKILL or in order, and starts it again when it was down for as long.
func (w *world) restart(after, down time.Duration, inOrder bool) <-chan error {
	done := make(chan error, 1)
	go func() {
		<-time.After(after)
		if !inOrder {
			w.meterd.kill()
		} else if err := w.meterd.stop(); err != nil {
			done <- err
			return
		}
		<-time.After(down)
		done <- w.startMeterd()
	}()
	return done
}

// upAlready returns what restart does when it is over.
func upAlready() <-chan error {
	done := make(chan error, 1)
	done <- nil
	return done
}

// publisher is a device that publishes at QoS 1 and waits for each PUBACK.
type publisher struct {
	name                             string
	raw                              *rawDevice
	told                             []string // of message i: "" when it was acknowledged, why not otherwise
	acknowledged, refused, ambiguous int
}

// publishers returns n devices that are connected.
func (w *world) publishers(n int) []*publisher {
	w.t.Helper()
	devices := make([]*publisher, n)
	for i := range devices {
		devices[i] = &publisher{name: fmt.Sprintf("d%d", i)}
	}
	w.connect(devices)
	return devices
}

func (w *world) connect(devices []*publisher) {
	w.t.Helper()
	for _, p := range devices {
		p.raw = w.dialUntilAccepted("large", p.name, 5)
	}
}

// publishUntil lets all devices publish, one message each at a time, until meterd was restarted and 15 rounds went
// through after that. each is called after a round.
func (w *world) publishUntil(devices []*publisher, restarted <-chan error, each func()) {
	w.t.Helper()
	deadline := time.Now().Add(2 * patience)
	for left := -1; left != 0; {
		for _, p := range devices {
			p.raw.publish("t/"+p.name, p.payload(len(p.told)), 1, uint16(1+len(p.told)%60000))
		}
		whole := true
		for _, p := range devices {
			whole = p.hear(p.raw.want(packets.Puback)) && whole
		}
		if each != nil {
			each()
		}
		select {
		case err := <-restarted:
			if err != nil {
				w.t.Fatal(err)
			}
			left = 15
		default:
		}
		if left > 0 && whole {
			left--
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("traffic did not recover:\n%s\n%s", w.meterd.said(), w.gateway.said())
		}
	}
}

func (p *publisher) payload(i int) string { return fmt.Sprintf("%s-%d", p.name, i) }

// hear notes a PUBACK; false for a refusal.
func (p *publisher) hear(ack packets.Packet) bool {
	switch reason := ack.Properties.ReasonString; {
	case ack.ReasonCode == 0 || ack.ReasonCode == 0x10: // 0x10: nobody has subscribed.
		p.acknowledged++
		p.told = append(p.told, "")
		return true
	case ack.ReasonCode == 0x83 && reason == "unavailable":
		p.refused++
		p.told = append(p.told, reason)
	case ack.ReasonCode == 0x83 && reason == "ambiguous":
		p.ambiguous++
		p.told = append(p.told, reason)
	default:
		p.raw.t.Fatalf("%s: PUBACK %#x %q", p.name, ack.ReasonCode, reason)
	}
	return false
}

// deliver receives the message that p published last, if it was acknowledged, and returns how many that are.
func (w *world) deliver(screen *rawDevice, p *publisher, before int) int {
	w.t.Helper()
	if p.told[len(p.told)-1] != "" {
		return 0
	}
	pk := screen.want(packets.Publish)
	if want := p.payload(len(p.told) - 1); string(pk.Payload) != want {
		w.t.Fatalf("delivery %d is %q, want %q", before, pk.Payload, want)
	}
	screen.ack(packets.Puback, pk.PacketID)
	return 1
}

// summary adds up all devices.
type summary struct{ acknowledged, refused, ambiguous, counted int }

// compare holds what devices were told against what meterd counts and has in its logs, message by message.
func (w *world) compare(devices []*publisher) (sum summary) {
	t := w.t
	t.Helper()
	for _, p := range devices {
		v := w.view("large", p.name)
		logged := map[string]int{}
		ups := 0
		for _, e := range w.log("large", p.name) {
			if e.Type == "up" && e.Verdict == "accepted" {
				logged[*e.Payload]++
				ups++
			}
		}
		for i, reason := range p.told {
			times := logged[p.payload(i)]
			delete(logged, p.payload(i))
			if times > 1 || times == 0 && reason == "" || times == 1 && reason == "unavailable" {
				t.Errorf("message %s was told %q and is in the log %d times", p.payload(i), reason, times)
			}
		}
		if len(logged) > 0 {
			t.Errorf("%s: the log has what was never published: %v", p.name, logged)
		}
		if v.Messages.Up != ups || v.Messages.Denied > 0 {
			t.Errorf("%s: %d logged, counted are %+v", p.name, ups, v.Messages)
		}
		sum.acknowledged += p.acknowledged
		sum.refused += p.refused
		sum.ambiguous += p.ambiguous
		sum.counted += v.Messages.Up
	}
	return sum
}

// compareDeliveries does the same for the messages of p that the screen received.
func (w *world) compareDeliveries(p *publisher, delivered int) {
	w.t.Helper()
	logged := map[string]int{}
	for _, e := range w.log("large", "screen") {
		if e.Type == "down" {
			logged[*e.Payload]++
			if logged[*e.Payload] > 1 || !strings.HasPrefix(*e.Payload, p.name+"-") || e.Verdict != "accepted" {
				w.t.Errorf("the screen's log has %q, %s, %d times", *e.Payload, e.Verdict, logged[*e.Payload])
			}
		}
	}
	if v := w.view("large", "screen"); v.Messages.Down != delivered || len(logged) != delivered {
		w.t.Errorf("the screen received %d, %d are logged, counted are %+v", delivered, len(logged), v.Messages)
	}
}
