package main

import (
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

func TestReceiveMaximumHoldsDeliveriesBackUndecided(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	sub, _ := g.dial("p1", "sub", 5, func(pk *packets.Packet) { pk.Properties.ReceiveMaximum = 2 })
	sub.subscribe("t", 2)
	pub := g.mustDial("p1", "pub", 5)
	const messages = 30
	for i := range messages {
		qos := byte(1 + i%2)
		pub.publish("t", fmt.Sprintf("m%d", i), qos, uint16(i+1))
		if ack, err := pub.read(); err != nil || ack.ReasonCode != 0 {
			t.Fatalf("message %d: %#x, %v", i, ack.ReasonCode, err)
		}
		if qos == 2 {
			pub.ack(packets.Pubrel, uint16(i+1))
			pub.want(packets.Pubcomp)
		}
	}
	first, second := sub.want(packets.Publish), sub.want(packets.Publish)
	for i := range messages {
		if n := len(f.heard("sub down")); n > i+2 {
			t.Fatalf("%d deliveries decided with %d acknowledged", n, i)
		}
		if want := fmt.Sprintf("m%d", i); string(first.Payload) != want {
			t.Fatalf("got %q, want %q", first.Payload, want)
		}
		if first.FixedHeader.Qos == 1 {
			sub.ack(packets.Puback, first.PacketID)
		} else {
			sub.ack(packets.Pubrec, first.PacketID)
			if pk, err := sub.read(); err != nil || pk.FixedHeader.Type != packets.Pubrel {
				t.Fatalf("%v, %v; want PUBREL", pk.FixedHeader.Type, err)
			}
			sub.ack(packets.Pubcomp, first.PacketID)
		}
		if first = second; i+2 < messages {
			second = sub.want(packets.Publish)
		}
	}
}
