package main

import (
	mqtt "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// fault is why a message can never be valid, whatever its device's quota. A device that sees no acknowledgement sends
// it again, after a reconnect before anything else, so it is acknowledged and dropped. meterd is not asked.
type fault uint8

const (
	noFault fault = iota
	topicInvalid
	topicTooLong
	payloadTooLarge
	faults // how many there are
)

// String returns the fault's label in the metrics.
func (f fault) String() string {
	return [faults]string{"", "topic_invalid", "topic_too_long", "payload_too_large"}[f]
}

// code returns what meterd calls the fault.
func (f fault) code() event.Code {
	if f == payloadTooLarge {
		return event.PayloadTooLarge
	}
	return event.InvalidEvent
}

// refusal returns the MQTT 5 reason for a PUBACK or PUBREC. 0x95 (packet too large) is not among the reasons that these
// packets may have (MQTT 5, 3.4.2.1 and 3.5.2.1), and there are clients that stop reading when they get it (mqtt.js
// 5.16: "Invalid puback reason code"). So a payload that is too large is 0x99, which also says: never in this form.
func (f fault) refusal() packets.Code {
	code := packets.ErrTopicNameInvalid.Code
	if f == payloadTooLarge {
		code = packets.ErrPayloadFormatInvalid.Code
	}
	reason := [faults]string{
		topicInvalid:    "this topic is the broker's or has no valid form",
		topicTooLong:    "the topic has more than 256 bytes",
		payloadTooLarge: "the payload has more than 262144 bytes",
	}[f]
	return packets.Code{Code: code, Reason: f.code().String() + ": " + reason}
}

// faultOf returns why a message can never be valid. The broker drops without a word what IsValidFilter refuses: topics
// that begin with $SYS, in any case, since those are its own (MQTT 5, 4.7.2), and $share without a group and a topic.
func faultOf(topic string, payloadBytes int) fault {
	switch {
	case topic == "" || !mqtt.IsValidFilter(topic, true):
		return topicInvalid
	case len(topic) > event.TopicBytesMax:
		return topicTooLong
	case payloadBytes > event.PayloadBytesMax:
		return payloadTooLarge
	}
	return noFault
}

// topicOf returns the topic of a PUBLISH, after it has set or looked up the topic alias. The broker does the same
// later; it does not for messages that are dropped here, whose aliases the device may use all the same.
func topicOf(cl *mqtt.Client, pk *packets.Packet) string {
	if pk.Properties.TopicAliasFlag && pk.Properties.TopicAlias > 0 {
		return cl.State.TopicAliases.Inbound.Set(pk.Properties.TopicAlias, pk.TopicName)
	}
	return pk.TopicName
}

// isPublish reports whether pk is a PUBLISH as MQTT wants it. The broker closes the connection for any other.
func (g *gateway) isPublish(pk *packets.Packet) bool {
	return pk.PublishValidate(g.broker.Options.Capabilities.TopicAliasMaximum) == packets.CodeSuccess
}

// drop counts a message that can never be valid, and logs the first one of a connection. It is called by the
// connection's own goroutine.
func (g *gateway) drop(c *connection, f fault, topic string, payloadBytes int) {
	g.meter.denied[f].Inc()
	g.meter.asked(event.Up, client.Verdict{Code: f.code().String()}, nil, 0)
	if !c.warned {
		c.warned = true
		g.log.Warn("dropped a message that can never be valid; further ones of this connection are only counted",
			"product", c.device.product, "device", c.device.device, "reason", f,
			"topic_bytes", len(topic), "payload_bytes", payloadBytes)
	}
}

// refuse answers a PUBLISH of QoS 1 or 2. The reason is for MQTT 5; up to 3.1.1 the acknowledgement has none, and looks
// like that of an accepted message.
func refuse(cl *mqtt.Client, pk *packets.Packet, reason packets.Code) {
	ack := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Puback},
		PacketID:    pk.PacketID,
		ReasonCode:  reason.Code,
	}
	if reason.Code >= packets.ErrUnspecifiedError.Code {
		ack.Properties.ReasonString = reason.Reason
	}
	switch pk.FixedHeader.Qos {
	case 0:
		return
	case 2:
		ack.FixedHeader.Type = packets.Pubrec
	}
	_ = cl.WritePacket(ack) // A connection that cannot be written to ends by itself.
}
