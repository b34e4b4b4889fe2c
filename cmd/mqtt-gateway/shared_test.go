package main

import (
	"fmt"
	"log/slog"
	"testing"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"
)

// TestSharedSubscriptionPassesOnWhatIsDenied: what one member may not have goes to one that may, for each quality of
// service.
func TestSharedSubscriptionPassesOnWhatIsDenied(t *testing.T) {
	for qos := range byte(3) {
		for _, version := range []byte{4, 5} {
			f := newFake(t)
			for i := range 9 {
				f.limits[fmt.Sprintf("full%d", i)] = i % 2
			}
			g := start(t, f, nil)
			for i := range 9 {
				g.mustDial("p1", fmt.Sprintf("full%d", i), version).subscribe("$share/group/t", 0)
			}
			rich := g.mustDial("p1", "rich", version)
			rich.subscribe("$share/group/t", qos)
			pub := g.mustDial("p1", "pub", version)
			const messages = 40
			delivered := map[string]int{}
			for i := range messages {
				pub.publish("t", fmt.Sprintf("m%d", i), qos, uint16(i+1)*min(1, uint16(qos)))
				if qos == 2 {
					pub.wantReceived(uint16(i + 1))
					pub.release(uint16(i + 1))
				} else if qos == 1 {
					pub.want(packets.Puback)
				}
			}
			// Four of the nine had room for one message each, if they were chosen.
			f.awaitThat("every message to be delivered", func() bool { return acceptedDowns(f) == messages })
			n := len(f.heard("rich down"))
			for range n {
				pk := rich.want(packets.Publish)
				delivered[string(pk.Payload)]++
				if pk.FixedHeader.Qos != qos || len(pk.Properties.SubscriptionIdentifier) > 0 {
					t.Errorf("delivered with QoS %d, identifiers %d", pk.FixedHeader.Qos, pk.Properties.SubscriptionIdentifier)
				}
			}
			if len(delivered) != n || n < messages-4 {
				t.Errorf("QoS %d: rich got %d deliveries, %d messages, want at least %d", qos, n, len(delivered), messages-4)
			}
		}
	}
}

// acceptedDowns returns how many deliveries meterd accepted; f is locked.
func acceptedDowns(f *fakeMeterd) (n int) {
	for key, d := range f.devices {
		if key != "p1/pub" {
			n += d.used
		}
	}
	return n
}

// TestSharedSubscriptionWithoutRoom: when nobody may have it, it is lost after each member was asked at most once.
func TestSharedSubscriptionWithoutRoom(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	members := make([]*rawDevice, 5)
	for i := range members {
		name := fmt.Sprintf("full%d", i)
		f.set(func() { f.limits[name] = 0 })
		members[i] = g.mustDial("p1", name, 5)
		members[i].subscribe("$share/group/t", 1)
	}
	pub := g.mustDial("p1", "pub", 5)
	const messages = 10
	for i := range messages {
		pub.publish("t", "m", 1, uint16(i+1))
		pub.want(packets.Puback)
		// The first message finds out that nobody has room, the others are lost with their first member.
		f.awaitThat(
			"the members to be asked",
			func() bool { return len(f.heardLocked("full"))-len(members) == len(members)+i },
		)
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if n := len(f.heard("full")) - 2*len(members); n != len(members)+messages-1 { // Beside connects and disconnects.
		t.Errorf("%d questions about %d messages and %d members", n, messages, len(members))
	}
}

// TestSharedSubscriptionOfAnAbsentMember: what waited for a member that comes back over its quota goes to another.
func TestSharedSubscriptionOfAnAbsentMember(t *testing.T) {
	f := newFake(t)
	f.limits["full"] = 0
	g := start(t, f, nil)
	full, _ := g.dial("p1", "full", 5, keepSession)
	full.subscribe("$share/group/t", 1)
	full.subscribe("own", 1)
	_ = full.conn.Close()
	f.await("full disconnect", 1)
	pub := g.mustDial("p1", "pub", 5)
	for i, topic := range []string{"t", "own"} {
		pub.publish(topic, topic, 1, uint16(i+1))
		pub.want(packets.Puback)
	}
	pub.publish("end", "x", 2, 9) // By its PUBREC, both have been handed to the session.
	pub.wantReceived(9)
	rich := g.mustDial("p1", "rich", 5)
	rich.subscribe("$share/group/t", 1)
	g.resume("p1", "full", 5)
	if pk := rich.want(packets.Publish); string(pk.Payload) != "t" {
		t.Errorf("delivered %q", pk.Payload)
	}
	f.await("full down", 2)
	if got := f.heard("rich down"); len(got) != 1 {
		t.Errorf("meterd heard %q", got)
	}
}

// TestSharedSubscriptionsOfOneMember: a device in two groups and with a subscription of its own is asked about once,
// and what is denied to it is passed on in each group that had chosen it.
func TestSharedSubscriptionsOfOneMember(t *testing.T) {
	f := newFake(t)
	f.limits["full"] = 0
	g := start(t, f, nil)
	one, two, pub := g.mustDial("p1", "one", 5), g.mustDial("p1", "two", 5), g.mustDial("p1", "pub", 5)
	full := g.mustDial("p1", "full", 5)
	for _, filter := range []string{"$share/one/t", "$share/two/#", "t"} {
		full.subscribe(filter, 1)
	}
	hold := make(chan struct{})
	f.set(func() { f.hold, f.holding = hold, "full" })
	pub.publish("t", "m1", 1, 1)
	pub.want(packets.Puback)
	f.awaitThat("the delivery to be asked about", func() bool { return f.held > 0 })
	one.subscribe("$share/one/t", 1)
	two.subscribe("$share/two/#", 1)
	close(hold)
	for _, d := range []*rawDevice{one, two} {
		if pk := d.want(packets.Publish); string(pk.Payload) != "m1" {
			t.Errorf("delivered %q", pk.Payload)
		}
	}
	if got := f.heard("full down"); len(got) != 1 {
		t.Errorf("meterd heard %q", got)
	}
}

// TestSharedSubscriptionForgetsADenialAfterARefresh: a credit or a new plan gives a member its share again at once.
func TestSharedSubscriptionForgetsADenialAfterARefresh(t *testing.T) {
	f := newFake(t)
	f.limits["poor"] = 0
	g := start(t, f, nil)
	poor := g.mustDial("p1", "poor", 5)
	poor.subscribe("$share/group/t", 0)
	poor.subscribe("own", 0)
	pub := g.mustDial("p1", "pub", 5)
	pub.publish("t", "m1", 1, 1)
	pub.want(packets.Puback)
	pub.publish("own", "next", 1, 2) // It is asked about when the denial of m1 is remembered.
	pub.want(packets.Puback)
	f.await("poor down next", 1)
	rich := g.mustDial("p1", "rich", 5)
	rich.subscribe("$share/group/t", 0)
	for i := range 20 {
		pub.publish("t", "m2", 1, uint16(i+2))
		pub.want(packets.Puback)
		rich.want(packets.Publish)
	}
	if got := f.heard("poor down m"); len(got) != 1 {
		t.Errorf("meterd was asked about %d deliveries to a member that had no room", len(got))
	}
	f.set(func() { f.limits["poor"] = 1000 })
	f.tell("event: refresh\ndata: {\"product\":\"p1\"}")
	if !within(patience, func() bool {
		pub.publish("t", "m3", 1, 99)
		pub.want(packets.Puback)
		return len(f.heard("poor down m3 accepted")) > 0
	}) {
		t.Error("it got nothing")
	}
}

// TestSharedSubscriptionLeftByItsLastMember: what is passed on reaches nobody who was not chosen.
func TestSharedSubscriptionLeftByItsLastMember(t *testing.T) {
	g := &gateway{broker: newBroker(slog.New(slog.DiscardHandler))}
	h := &hook{gateway: g}
	cl := g.broker.NewClient(nil, mqtt.LocalListener, "p1/d1", false)
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, PacketID: 1, TopicName: "t",
		Filters:    packets.Subscriptions{{Filter: "$share/group/t"}},
		Properties: packets.Properties{SubscriptionIdentifier: []int{7}}, // Of a subscription of its own.
	}
	cl.State.Inflight.Set(pk)
	if got := h.OnPacketEncode(cl, pk); got.FixedHeader.Type != packets.Reserved || cl.State.Inflight.Len() > 0 {
		t.Errorf("type %d, %d in flight", got.FixedHeader.Type, cl.State.Inflight.Len())
	}
}

// TestSharedSubscriptionPassesOverAbsentMembers: their sessions keep no message of QoS 0.
func TestSharedSubscriptionPassesOverAbsentMembers(t *testing.T) {
	f := newFake(t)
	f.limits["full"] = 0
	g := start(t, f, nil)
	for i := range 5 {
		name := fmt.Sprintf("absent%d", i)
		d, _ := g.dial("p1", name, 5, keepSession)
		d.subscribe("$share/group/t", 1)
		_ = d.conn.Close()
		f.await(name+" disconnect", 1)
	}
	for _, name := range []string{"full", "rich"} {
		g.mustDial("p1", name, 5).subscribe("$share/group/t", 1)
	}
	pub := g.mustDial("p1", "pub", 5)
	const messages = 20
	for range messages {
		pub.publish("t", "m", 0, 0)
	}
	f.await("rich down", messages)
}
