package main

import (
	"bytes"
	"context"
	"errors"
	"hash/maphash"
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
	seed    maphash.Seed // shareKey's
}

// ID names the hook for the broker.
func (h *hook) ID() string { return "meterd" }

// Provides tells the broker which methods are there.
func (h *hook) Provides(b byte) bool {
	return bytes.IndexByte([]byte{
		mqtt.OnConnect, mqtt.OnConnectAuthenticate, mqtt.OnACLCheck, mqtt.OnPublish, mqtt.OnPacketEncode,
		mqtt.OnPacketSent, mqtt.OnPacketRead, mqtt.OnPublishDropped, mqtt.OnWill, mqtt.OnSessionEstablish,
		mqtt.OnPublished, mqtt.OnPacketProcessed, mqtt.OnSelectSubscribers,
	}, b) >= 0
}

// connectionOf returns the gateway's side of cl.
func connectionOf(cl *mqtt.Client) *connection {
	c, ok := cl.Net.Conn.(*connection)
	if !ok {
		panic("BUG: a client that did not come through the listener")
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
	_ = h.gateway.broker.SendConnack(cl, code, false, nil) // The connection is closed either way.
	return code
}

// OnConnectAuthenticate lets in what OnConnect did not refuse: see the package comment.
func (h *hook) OnConnectAuthenticate(*mqtt.Client, packets.Packet) bool { return true }

// OnACLCheck keeps $SYS, which is about the broker, from devices: its topics would count as messages to them. It is
// also asked, in the publisher's goroutine, for every delivery.
func (h *hook) OnACLCheck(_ *mqtt.Client, topic string, write bool) bool {
	return write || !strings.HasPrefix(topic, "$SYS")
}

// OnSessionEstablish gives the connection the exchanges of its session, which the broker is about to take over from the
// device's last connection, or begins new ones.
func (h *hook) OnSessionEstablish(cl *mqtt.Client, pk packets.Packet) {
	c := connectionOf(cl)
	c.exchanges = newExchanges()
	last, ok := h.gateway.broker.Clients.Get(cl.ID)
	switch {
	case ok && pk.Connect.Clean:
		connectionOf(last).exchanges.clear() // For a third connection that takes over this very moment.
	case ok:
		c.exchanges = connectionOf(last).exchanges
	}
}

// OnPacketRead sees a packet before the broker does. A PUBLISH that can never be valid, or that was received
// before, is answered here: the broker would not answer it at all, or with an error.
func (h *hook) OnPacketRead(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	c := connectionOf(cl)
	switch pk.FixedHeader.Type {
	case packets.Publish:
		if h.gateway.isPublish(&pk) && h.isAnswered(cl, c, &pk) {
			return nothing(), nil
		}
	case packets.Pubrel:
		c.exchanges.release(pk.PacketID)
	default:
		c.window.read(&pk)
	}
	return pk, nil
}

// nothing returns a packet that the broker passes over: it acknowledges a delivery that there is not.
func nothing() packets.Packet {
	return packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Puback}}
}

// isAnswered answers a PUBLISH that the broker must not see, and begins the exchange of a QoS 2 message that it must.
func (h *hook) isAnswered(cl *mqtt.Client, c *connection, pk *packets.Packet) bool {
	topic := topicOf(cl, pk)
	if f := faultOf(topic, len(pk.Payload)); f != noFault {
		h.gateway.drop(c, f, topic, len(pk.Payload))
		refuse(cl, pk, f.refusal())
		return true
	}
	if pk.FixedHeader.Qos < 2 {
		return false
	}
	x, err := c.exchanges.begin(c.ctx, pk.PacketID)
	switch {
	case err != nil:
		h.gateway.closeClient(cl, packets.ErrReceiveMaximum)
	case x == nil:
		refuse(cl, pk, packets.CodeSuccess)
	default:
		c.receiving = x
	}
	return x == nil
}

// OnPublish asks about a message from a device. The broker would answer a denied QoS 2 with a PUBACK, and pass
// a denied 3.1.1 message on, so both are done here: ErrRejectPacket ends its work, CodeSuccessIgnore
// lets it acknowledge and deliver nothing.
func (h *hook) OnPublish(cl *mqtt.Client, pk packets.Packet) (packets.Packet, error) {
	if cl.Net.Inline {
		return pk, nil // It was counted when it was received: see passOn.
	}
	c := connectionOf(cl)
	x := c.receiving
	if x == nil {
		x = &exchange{}
	}
	if !x.decided {
		x.outcome, x.decided = h.decide(cl, &pk)
	}
	return pk, x.outcome
}

// decide asks about a message, answers it when it is refused, and returns what the broker has to do. It is final unless
// the device is told of a refusal: then it may send the message again as a new one.
func (h *hook) decide(cl *mqtt.Client, pk *packets.Packet) (outcome error, isFinal bool) {
	v, err := h.gateway.ask(message(connectionOf(cl).device, event.Up, pk))
	isDenied := err == nil || errors.Is(err, client.ErrInvalid)
	switch {
	case err == nil && v.Accepted:
		return nil, true
	case pk.FixedHeader.Qos == 0, isDenied && cl.Properties.ProtocolVersion < 5:
		return packets.CodeSuccessIgnore, true
	case cl.Properties.ProtocolVersion < 5:
		// Nobody decided: an acknowledgement would lose the message, and only a lost connection makes the device keep it.
		cl.Stop(packets.ErrServerUnavailable)
	default:
		refuse(cl, pk, publishRefusal(v, err))
	}
	return packets.ErrRejectPacket, false
}

// OnPublished notes that a QoS 2 message was delivered. The broker does not deliver one that it could not acknowledge.
func (h *hook) OnPublished(cl *mqtt.Client, _ packets.Packet) {
	if !cl.Net.Inline && connectionOf(cl).receiving != nil {
		connectionOf(cl).receiving.delivered = true
	}
}

// OnPacketProcessed settles the exchange of a QoS 2 message. The broker calls it whatever came of the packet.
func (h *hook) OnPacketProcessed(cl *mqtt.Client, pk packets.Packet, _ error) {
	if cl.Net.Inline {
		return
	}
	if c := connectionOf(cl); c.receiving != nil {
		c.exchanges.settle(pk.PacketID, c.receiving)
		c.receiving = nil
	}
}

// OnWill asks about the last message of a device whose connection was lost. A denied one gets a topic that nobody can
// subscribe to, the only way to stop it here.
func (h *hook) OnWill(cl *mqtt.Client, will mqtt.Will) (mqtt.Will, error) {
	c := connectionOf(cl)
	passes := false
	if f := faultOf(will.TopicName, len(will.Payload)); f != noFault {
		h.gateway.drop(c, f, will.TopicName, len(will.Payload))
	} else {
		pk := packets.Packet{TopicName: will.TopicName, Payload: will.Payload}
		v, err := h.gateway.ask(message(c.device, event.Up, &pk))
		passes = err == nil && v.Accepted
	}
	if !passes {
		will.TopicName, will.Retain = "", false
	}
	return will, nil
}

// OnPacketEncode asks about a delivery right before it is written: in the subscriber's write loop. A packet of no type
// is not written.
func (h *hook) OnPacketEncode(cl *mqtt.Client, pk packets.Packet) packets.Packet {
	if pk.FixedHeader.Type == packets.Pubcomp && pk.ReasonCode == packets.ErrPacketIdentifierNotFound.Code {
		// The exchange is over, and a device that repeats its PUBREL missed the first answer. There are clients that take
		// this reason for a failed message.
		pk.ReasonCode, pk.Properties.ReasonString = packets.CodeSuccess.Code, ""
	}
	if pk.FixedHeader.Type != packets.Publish || tooLarge(pk) {
		return pk
	}
	if isAstray(&pk) {
		h.forget(cl, pk.PacketID)
		pk.FixedHeader.Type = packets.Reserved
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
	refreshes := h.gateway.refreshes.Load()
	v, err := h.gateway.ask(message(c.device, event.Down, &pk))
	if !h.settleDelivery(cl, &pk, v, err, refreshes) && pk.FixedHeader.Qos > 0 {
		c.window.leave()
	}
	return pk
}

// OnPacketSent notes that the CONNACK was written, and prepares what the broker is about to send on a resumed session.
func (h *hook) OnPacketSent(cl *mqtt.Client, pk packets.Packet, _ []byte) {
	if pk.FixedHeader.Type != packets.Connack {
		return
	}
	close(connectionOf(cl).connackSent) // A connection has one CONNACK.
	switch {
	case pk.ReasonCode != packets.CodeSuccess.Code: // There is no session.
	case pk.SessionPresent:
		h.resume(cl)
	default:
		connectionOf(cl).exchanges.clear()
	}
}

// resume decides about the deliveries that wait in a session, before the broker sends them: there a packet that is not
// written would end the connection. Acknowledgements are taken out. The device sends again what it saw none for, and
// is answered then; one that comes unasked for could be taken for that of a later message with the same packet id.
func (h *hook) resume(cl *mqtt.Client) {
	refreshes := h.gateway.refreshes.Load()
	var asked []packets.Packet
	var events []client.Event
	for _, kept := range cl.State.Inflight.GetAll(false) {
		switch {
		case kept.FixedHeader.Type == packets.Pubrel:
		case kept.FixedHeader.Type != packets.Publish, isAstray(&kept):
			h.forget(cl, kept.PacketID)
		case !isCounted(&kept):
			asked = append(asked, kept)
			events = append(events, message(connectionOf(cl).device, event.Down, &kept))
		}
	}
	for i, r := range h.gateway.client.Submit(context.Background(), events) { // Bounded by --ask-timeout, twice.
		h.gateway.meter.asked(event.Down, r.Verdict, r.Err, 0)
		h.settleDelivery(cl, &asked[i], r.Verdict, r.Err, refreshes)
	}
}

// OnPublishDropped counts deliveries that found a subscriber's queue full; it runs in the publisher's goroutine.
func (h *hook) OnPublishDropped(*mqtt.Client, packets.Packet) { h.gateway.meter.dropped.queue.Inc() }

// settleDelivery does what a verdict demands, and returns whether the delivery may be written. A QoS 1 or 2 one is
// marked as counted in the session, so that it is not asked about when it is sent again. One that may not be written
// loses its type, leaves the session, and is passed on if it is a shared subscription's and was denied.
func (h *hook) settleDelivery(
	cl *mqtt.Client, pk *packets.Packet, v client.Verdict, err error, refreshes uint64,
) (passes bool) {
	passes = err == nil && v.Accepted
	if pk.FixedHeader.Qos > 0 {
		if kept, ok := cl.State.Inflight.Get(pk.PacketID); ok && passes {
			markCounted(&kept)
			cl.State.Inflight.Set(kept)
		} else if ok {
			h.forget(cl, pk.PacketID)
		}
	}
	if err == nil {
		connectionOf(cl).noteRoom(v, refreshes)
	}
	if !passes {
		if err == nil {
			h.passOn(cl, *pk)
		}
		pk.FixedHeader.Type = packets.Reserved
	}
	return passes
}

// forget takes a packet out of the session's list of messages in flight.
func (h *hook) forget(cl *mqtt.Client, id uint16) {
	if id > 0 && cl.State.Inflight.Delete(id) {
		atomic.AddInt64(&h.gateway.broker.Info.Inflight, -1)
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
