package main

import (
	"fmt"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// keepSession asks for a session that outlives its connection.
func keepSession(pk *packets.Packet) {
	pk.Connect.Clean = false
	if pk.ProtocolVersion == 5 {
		pk.Properties.SessionExpiryInterval, pk.Properties.SessionExpiryIntervalFlag = 3600, true
	}
}

// resume connects a device again, whose session must be there.
func (g *running) resume(username, id string, version byte) *rawDevice {
	g.t.Helper()
	d, ack := g.dial(username, id, version, keepSession)
	if ack.ReasonCode != 0 || !ack.SessionPresent {
		g.t.Fatalf("CONNACK %#x, session present: %v", ack.ReasonCode, ack.SessionPresent)
	}
	return d
}

// release ends the exchange of a QoS 2 message: PUBREL, which is answered the same way however often it is sent.
func (d *rawDevice) release(id uint16) {
	d.t.Helper()
	for range 2 {
		d.ack(packets.Pubrel, id)
		if comp := d.want(packets.Pubcomp); comp.PacketID != id || comp.ReasonCode != 0 {
			d.t.Errorf("PUBCOMP %d %#x", comp.PacketID, comp.ReasonCode)
		}
	}
}

// wantReceived reads one PUBREC.
func (d *rawDevice) wantReceived(id uint16) {
	d.t.Helper()
	if rec := d.want(packets.Pubrec); rec.PacketID != id || rec.ReasonCode != 0 {
		d.t.Errorf("PUBREC %d %#x %q, want %d 0x0", rec.PacketID, rec.ReasonCode, rec.Properties.ReasonString, id)
	}
}

// TestExactlyOnceWhenThePubrecIsLost: a QoS 2 message that is sent again is answered as the first time, counted once
// and delivered once; its packet id is free after the release.
func TestExactlyOnceWhenThePubrecIsLost(t *testing.T) {
	for _, version := range []byte{4, 5} {
		for _, reconnect := range []bool{true, false} {
			t.Run(fmt.Sprintf("version %d, reconnect %v", version, reconnect), func(t *testing.T) {
				f := newFake(t)
				g := start(t, f, nil)
				screen := g.mustDial("p1", "screen", 5)
				screen.subscribe("t", 0)
				d, _ := g.dial("p1", "d1", version, keepSession)
				d.publish("t", "m1", 2, 7)
				d.wantReceived(7)
				for again := range 2 {
					if reconnect {
						_ = d.conn.Close()
						f.await("d1 disconnect", 1+again)
						d = g.resume("p1", "d1", version)
					}
					d.publishAgain("t", "m1", 2, 7, true)
					d.wantReceived(7)
				}
				d.release(7)
				d.publish("t", "m2", 2, 7)
				d.wantReceived(7)
				d.release(7)
				for _, want := range []string{"m1", "m2"} {
					if pk := screen.want(packets.Publish); string(pk.Payload) != want {
						t.Errorf("delivered %q, want %q", pk.Payload, want)
					}
				}
				if got := f.heard("d1 up"); len(got) != 2 {
					t.Errorf("meterd heard %q", got)
				}
			})
		}
	}
}

// TestExactlyOnceWhenTheConnectionEndsBeforeThePubrec: meterd's answer comes when the device has gone. It counts, and
// the message is delivered when the device sends it again.
func TestExactlyOnceWhenTheConnectionEndsBeforeThePubrec(t *testing.T) {
	for _, version := range []byte{4, 5} {
		f := newFake(t)
		g := start(t, f, nil)
		screen := g.mustDial("p1", "screen", 5)
		screen.subscribe("t", 0)
		d, _ := g.dial("p1", "d1", version, keepSession)
		hold := make(chan struct{})
		f.set(func() { f.hold, f.holding = hold, "d1" })
		d.publish("t", "m1", 2, 7)
		f.awaitThat("the message to be asked about", func() bool { return f.held > 0 })
		_ = d.conn.Close()
		d = g.open("p1", "d1", version, keepSession)
		close(hold)
		if ack := d.want(packets.Connack); !ack.SessionPresent {
			t.Fatal("the session was lost")
		}
		for range 2 {
			d.publishAgain("t", "m1", 2, 7, true)
			d.wantReceived(7)
		}
		d.release(7)
		d.publish("t", "end", 1, 8)
		d.want(packets.Puback)
		for _, want := range []string{"m1", "end"} {
			if pk := screen.want(packets.Publish); string(pk.Payload) != want {
				t.Errorf("version %d: delivered %q, want %q", version, pk.Payload, want)
			}
		}
		if got := f.heard("d1 up"); len(got) != 2 {
			t.Errorf("version %d: meterd heard %q", version, got)
		}
	}
}

// TestExactlyOnceBesideADelivery: a delivery to the same device has the same packet id, which the broker's own list
// cannot tell apart.
func TestExactlyOnceBesideADelivery(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	d := g.mustDial("p1", "d1", 5)
	d.subscribe("in", 1)
	other := g.mustDial("p1", "other", 5)
	other.publish("in", "x", 1, 1)
	other.want(packets.Puback)
	id := d.want(packets.Publish).PacketID
	d.publish("out", "m1", 2, id)
	d.wantReceived(id)
	d.ack(packets.Puback, id) // Of the delivery.
	d.publishAgain("out", "m1", 2, id, true)
	d.wantReceived(id)
	d.release(id)
	if got := f.heard("d1 up"); len(got) != 1 {
		t.Errorf("meterd heard %q", got)
	}
}

// TestRefusedExchangeIsOver: what was refused is asked about again, under whatever packet id.
func TestRefusedExchangeIsOver(t *testing.T) {
	f := newFake(t)
	f.limit = 0
	g := start(t, f, nil)
	d := g.mustDial("p1", "d1", 5)
	d.publish("t", "m1", 2, 7)
	if rec := d.want(packets.Pubrec); rec.ReasonCode != 0x97 {
		t.Errorf("PUBREC %#x", rec.ReasonCode)
	}
	f.set(func() { f.limit = 1 })
	d.publish("t", "m1", 2, 7)
	d.wantReceived(7)
	d.release(7)
	if got := f.heard("d1 up"); len(got) != 2 {
		t.Errorf("meterd heard %q", got)
	}
}

// TestNewSessionKnowsNoExchange: with a new session a packet id means a new message.
func TestNewSessionKnowsNoExchange(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	d, _ := g.dial("p1", "d1", 5, keepSession)
	d.publish("t", "m1", 2, 7)
	d.wantReceived(7)
	d = g.mustDial("p1", "d1", 5)
	d.publish("t", "m2", 2, 7)
	d.wantReceived(7)
	if got := f.heard("d1 up"); len(got) != 2 {
		t.Errorf("meterd heard %q", got)
	}
}

// TestExchangesAreBounded: a device that never releases is closed, also if it does that over several connections.
func TestExchangesAreBounded(t *testing.T) {
	f := newFake(t)
	f.limit = 1 << 20
	g := start(t, f, nil)
	d, ack := g.dial("p1", "d1", 5, keepSession)
	if ack.Properties.ReceiveMaximum != receiveMax {
		t.Errorf("Receive Maximum %d", ack.Properties.ReceiveMaximum)
	}
	id := uint16(1)
	for ; id <= exchangesMax; id++ {
		if id%receiveMax == 0 {
			_ = d.conn.Close()
			f.await("d1 disconnect", int(id/receiveMax))
			d = g.resume("p1", "d1", 5)
		}
		d.publish("t", "m", 2, id)
		d.wantReceived(id)
	}
	d.publish("t", "m", 2, id)
	if bye := d.wantClosed(); bye.ReasonCode != packets.ErrReceiveMaximum.Code {
		t.Errorf("DISCONNECT %#x", bye.ReasonCode)
	}
	if got := f.heard("d1 up"); len(got) != exchangesMax {
		t.Errorf("meterd heard %d messages, want %d", len(got), exchangesMax)
	}
}
