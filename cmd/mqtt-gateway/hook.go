package main

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"

	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// hook is where the broker asks. Every method runs in the goroutine of the connection that it is about, except as
// noted.
type hook struct {
	mqtt.HookBase
	gateway *gateway
}

// ID names the hook for the broker.
func (h *hook) ID() string { return "meterd" }

// Provides tells the broker which methods are there.
func (h *hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnPacketEncode,
		mqtt.OnPacketSent, mqtt.OnPacketRead, mqtt.OnPublishDropped, mqtt.OnWill,
	}, b) >= 0
}

// connectionOf returns our side of cl.
func connectionOf(cl *mqtt.Client) *connection {
	c, ok := cl.Net.Conn.(*connection)
	if !ok {
		panic("BUG: a client that did not come through the door")
	}
	return c
}

// OnConnect asks about a CONNECT and refuses it itself, since the broker closes without a CONNACK when a hook fails. It
// comes before the broker looks for the session, so the id set here is the one it looks for.
func (h *hook) OnConnect(cl *mqtt.Client, _ packets.Packet) error {
	name, session, ok := identify(h.gateway.identity, cl)
	if !ok {
		h.gateway.meter.dropped.identity.Inc()
		return h.refuse(cl, packets.ErrClientIdentifierNotValid)
	}
	cl.ID = session
	// With aliases the broker names a topic to a subscriber once and then sends a number. If meterd denied the message
	// that carried the name, the number would mean nothing.
	cl.Properties.Props.TopicAliasMaximum = 0
	c := connectionOf(cl)
	c.device, c.joined, c.window = name, true, takeWindow(cl)
	c.client.Store(cl)
	v, err := h.gateway.devices.connect(c, cl)
	if err == nil && v.Accepted {
		return nil
	}
	return h.refuse(cl, connackRefusal(v, err))
}

func (h *hook) refuse(cl *mqtt.Client, code packets.Code) error {
	if cl.Properties.ProtocolVersion < 5 {
		code = connackRefusal3(code)
	}
	_ = h.gateway.broker.SendConnack(cl, code, false, nil) // It is refused whether it hears or not.
	return code
}

// OnConnectAuthenticate trusts whom meterd accepted: see the package comment.
func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck keeps $SYS, which is about the broker, from devices: its topics would count as messages to them. It is
// also asked, in the publisher's goroutine, for every delivery.
func (h *hook) OnACLCheck(_ *mqtt.Client, topic string, write bool) bool {
	return write || !strings.HasPrefix(topic, "$SYS")
}

// OnPublish asks about a message from a device. The broker would answer a denied QoS 2 with a PUBACK, and pass
// a denied 3.1.1 message on, so both are done here: ErrRejectPacket ends its work, CodeSuccessIgnore
// lets it acknowledge and deliver nothing.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	v, err := h.gateway.ask(message(connectionOf(cl).device, event.Up, &pk))
	if err == nil && v.Accepted {
		return pk, nil
	}
	if pk.FixedHeader.Qos == 0 {
		return pk, packets.CodeSuccessIgnore
	}
	if cl.Properties.ProtocolVersion < 5 {
		if err == nil {
			return pk, packets.CodeSuccessIgnore
		}
		// Nobody decided: an acknowledgement would lose the message, and only a lost connection makes the device keep it.
		cl.Stop(packets.ErrServerUnavailable)
		return pk, packets.ErrRejectPacket
	}
	refusal := publishRefusal(v, err)
	ack := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Puback},
		PacketID:    pk.PacketID,
		ReasonCode:  refusal.Code,
		Properties:  packets.Properties{ReasonString: refusal.Reason},
	}
	if pk.FixedHeader.Qos == 2 {
		ack.FixedHeader.Type = packets.Pubrec
	}
	_ = cl.WritePacket(ack) // A connection that cannot be written to ends by itself.
	return pk, packets.ErrRejectPacket
}

// OnWill asks about the last message of a device whose connection was lost. A denied one gets a topic that nobody can
// subscribe to, the only way to stop it here.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	pk := packets.Packet{TopicName: will.TopicName, Payload: will.Payload}
	v, err := h.gateway.ask(message(connectionOf(cl).device, event.Up, &pk))
	if err != nil || !v.Accepted {
		will.TopicName, will.Retain = "", false
	}
	return will, nil
}

// OnPacketEncode asks about a delivery right before it is written: in the subscriber's write loop. A packet of no type
// is not written.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type != packets.Publish || tooLarge(pk) {
		return pk
	}
	c := connectionOf(cl)
	if pk.FixedHeader.Qos > 0 {
		if kept, ok := cl.State.Inflight.Get(pk.PacketID); ok && isCounted(&kept) {
			c.window.force() // Sent again on a resumed session, whose acknowledgements are not read yet.
			return pk
		}
		if !c.window.enter(c.ctx) {
			pk.FixedHeader.Type = packets.Reserved // The connection is over; the session keeps the message, undecided.
			return pk
		}
	}
	v, err := h.gateway.ask(message(c.device, event.Down, &pk))
	pass := err == nil && v.Accepted
	h.settleDelivery(cl, &pk, pass)
	if !pass && pk.FixedHeader.Qos > 0 {
		c.window.leave()
	}
	return pk
}

// OnPacketRead hears acknowledgements, for the window.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	connectionOf(cl).window.read(&pk)
	return pk, nil
}

// OnPacketSent notes that a connection was welcomed, and decides what a resumed session is about to be sent again,
// before the broker sends it: there a packet that is not written would end the connection.
func (h *hook) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	if pk.FixedHeader.Type != packets.Connack {
		return
	}
	close(connectionOf(cl).welcomed) // A connection has one CONNACK.
	if !pk.SessionPresent {
		return
	}
	var asked []packets.Packet
	var pending []*client.Pending
	for _, kept := range cl.State.Inflight.GetAll(false) {
		if kept.FixedHeader.Type != packets.Publish || isCounted(&kept) {
			continue
		}
		p, err := h.gateway.client.Submit(message(connectionOf(cl).device, event.Down, &kept))
		if err != nil {
			h.gateway.meter.asked(event.Down, client.Verdict{}, err, 0)
			h.settleDelivery(cl, &kept, false)
			continue
		}
		asked, pending = append(asked, kept), append(pending, p)
	}
	for i, p := range pending {
		v, err := p.Wait(context.Background())
		h.gateway.meter.asked(event.Down, v, err, 0)
		h.settleDelivery(cl, &asked[i], err == nil && v.Accepted)
	}
}

// OnPublishDropped counts deliveries that found a subscriber's queue full; it runs in the publisher's goroutine.
func (h *hook) OnPublishDropped(*mqtt.Client, packets.Packet) { h.gateway.meter.dropped.queue.Inc() }

// settleDelivery marks a decided QoS 1 or 2 delivery as counted in the session, so that it is not asked about when it
// is sent again, or takes a denied one out of the session. A denied packet loses its type.
func (h *hook) settleDelivery(cl *mqtt.Client, pk *packets.Packet, pass bool) {
	if pk.FixedHeader.Qos > 0 {
		if kept, ok := cl.State.Inflight.Get(pk.PacketID); ok && pass {
			markCounted(&kept)
			cl.State.Inflight.Set(kept)
		} else if ok && cl.State.Inflight.Delete(pk.PacketID) {
			atomic.AddInt64(&h.gateway.broker.Info.Inflight, -1)
		}
	}
	if !pass {
		pk.FixedHeader.Type = packets.Reserved
	}
}

// The mark of a counted delivery is a field that a PUBLISH does not use and never sends; it is copied with the packet
// when a session is taken over, and goes when the packet is acknowledged.
func isCounted(pk *packets.Packet) bool { return pk.ReservedBit != 0 }
func markCounted(pk *packets.Packet)    { pk.ReservedBit = 1 }

// tooLarge reports whether the broker will refuse to write pk because the subscriber said how large a packet it takes;
// then there is nothing to ask about.
func tooLarge(pk packets.Packet) bool {
	if pk.Mods.MaxSize == 0 {
		return false
	}
	var buf bytes.Buffer
	return pk.PublishEncode(&buf) != nil || uint32(buf.Len()) > pk.Mods.MaxSize
}

// message returns the event for a message to or from a device.
func message(n deviceName, t event.Type, pk *packets.Packet) client.Event {
	return client.Event{
		Type: t, Product: n.product, Device: n.device,
		Size: int64(len(pk.Payload)), Topic: pk.TopicName, Payload: pk.Payload,
	}
}
