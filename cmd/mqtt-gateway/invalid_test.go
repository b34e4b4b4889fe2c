package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mochi-mqtt/server/v2/packets"
)

// neverValid are messages that meterd or the broker could only refuse, for ever.
var neverValid = []struct {
	name, topic string
	payload     int // bytes
	reason      string
	refusal     byte // MQTT 5
	code        string
}{
	{"a topic of 300 bytes", strings.Repeat("x", 300), 1, "topic_too_long", 0x90, "invalid_event"},
	{"the broker's topics", "$SYS/broker/version", 1, "topic_invalid", 0x90, "invalid_event"},
	{"the broker's topics in small letters", "$sys/x", 1, "topic_invalid", 0x90, "invalid_event"},
	{"half a shared subscription", "$share/group", 1, "topic_invalid", 0x90, "invalid_event"},
	{"a payload of 300,000 bytes", "t", 300_000, "payload_too_large", 0x99, "payload_too_large"},
	{"a packet of 1 MiB", "t", 1 << 20, "payload_too_large", 0x99, "payload_too_large"},
	{
		"a packet of 1 MiB with a topic that is too long",
		strings.Repeat("x", 300),
		1 << 20,
		"topic_too_long",
		0x90,
		"invalid_event",
	},
}

// TestNeverValidIsAcknowledgedAndDropped: what would be refused for ever is not sent for ever, and what is behind it
// comes through.
func TestNeverValidIsAcknowledgedAndDropped(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	screen := g.mustDial("p1", "screen", 5)
	screen.subscribe("#", 0)
	for _, version := range []byte{4, 5} {
		d := g.mustDial("p1", fmt.Sprintf("d%d", version), version)
		for _, tc := range neverValid {
			for qos := range byte(3) {
				what := fmt.Sprintf("version %d, QoS %d, %s", version, qos, tc.name)
				d.publish(tc.topic, strings.Repeat("p", tc.payload), qos, uint16(qos))
				d.wantRefused(what, qos, tc.refusal, tc.code)
				d.publish("good", "g", 1, 9)
				if ack := d.want(packets.Puback); ack.PacketID != 9 || ack.ReasonCode != 0 {
					t.Errorf("%s: the message behind it was answered %d, %#x", what, ack.PacketID, ack.ReasonCode)
				}
				if pk := screen.want(packets.Publish); pk.TopicName != "good" {
					t.Errorf("%s: %.20q was delivered", what, pk.TopicName)
				}
			}
		}
	}
	messages := 2 * 3 * len(neverValid)
	if got := f.heard("d"); len(got) != 2+messages {
		t.Errorf("meterd heard %d events of two connects and %d good messages", len(got), messages)
	}
	for name, want := range map[string]int{
		`meterd_gateway_denied_total{reason="topic_too_long"}`:                    12,
		`meterd_gateway_denied_total{reason="topic_invalid"}`:                     18,
		`meterd_gateway_denied_total{reason="payload_too_large"}`:                 12,
		`meterd_gateway_events_total{type="up",verdict="invalid_event"}`:          30,
		`meterd_gateway_events_total{type="up",verdict="payload_too_large"}`:      12,
		`meterd_gateway_events_total{type="up",verdict="accepted"}`:               messages,
		`meterd_gateway_events_total{type="up",verdict="message_quota_exceeded"}`: 0,
	} {
		if got := g.metric(name); got != fmt.Sprint(want) && (want > 0 || got != "") {
			t.Errorf("%s is %q, want %d", name, got, want)
		}
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(g.log.String(), "can never be valid"); n != 2 {
		t.Errorf("%d lines in the log, want one a connection:\n%s", n, g.log.String())
	}
}

// wantRefused reads how a message with the packet id qos was refused: not at all with QoS 0, and up to MQTT 3.1.1 like
// one that is accepted.
func (d *rawDevice) wantRefused(what string, qos, refusal byte, code string) {
	d.t.Helper()
	if qos == 0 {
		return
	}
	ack := d.want(map[byte]byte{1: packets.Puback, 2: packets.Pubrec}[qos])
	if ack.PacketID != uint16(qos) {
		d.t.Errorf("%s: %d was acknowledged", what, ack.PacketID)
	}
	if d.version == 5 && (ack.ReasonCode != refusal || !strings.HasPrefix(ack.Properties.ReasonString, code)) {
		d.t.Errorf("%s: refused with %#x %q, want %#x %q", what, ack.ReasonCode, ack.Properties.ReasonString, refusal, code)
	}
	if d.version < 5 && qos == 2 {
		d.ack(packets.Pubrel, ack.PacketID)
		d.want(packets.Pubcomp)
	}
}

// TestNeverValidOnAKeptSession: a device that lost the acknowledgement sends the message again, once.
func TestNeverValidOnAKeptSession(t *testing.T) {
	for _, version := range []byte{4, 5} {
		f := newFake(t)
		g := start(t, f, nil)
		d, _ := g.dial("p1", "d1", version, keepSession)
		for again := range 2 {
			d.publishAgain("t", strings.Repeat("p", 300_000), 2, 7, again > 0)
			if ack := d.want(packets.Pubrec); ack.PacketID != 7 || version == 5 && ack.ReasonCode != 0x99 {
				t.Errorf("version %d: PUBREC %d %#x", version, ack.PacketID, ack.ReasonCode)
			}
			_ = d.conn.Close()
			f.await("d1 disconnect", 1+again)
			d, _ = g.dial("p1", "d1", version, keepSession)
		}
		d.ack(packets.Pubrel, 7)
		d.want(packets.Pubcomp)
		d.publish("t", "good", 2, 8)
		if ack := d.want(packets.Pubrec); ack.PacketID != 8 || ack.ReasonCode != 0 {
			t.Errorf("version %d: PUBREC %d %#x", version, ack.PacketID, ack.ReasonCode)
		}
		if got := f.heard("d1 up"); len(got) != 1 {
			t.Errorf("version %d: meterd heard %q", version, got)
		}
	}
}

// TestNeverValidTopicOfAnAlias: an alias stands for its topic although the message that set it was refused.
func TestNeverValidTopicOfAnAlias(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	d := g.mustDial("p1", "d1", 5)
	for i, tc := range []struct {
		topic   string
		payload int
		refusal byte // of the message that sets the alias
		next    byte // of the next one, which has the alias and no topic
	}{
		{"$SYS/x", 1, 0x90, 0x90},
		{strings.Repeat("x", 300), 1, 0x90, 0x90},
		{"t", 1 << 20, 0x99, 0},
		{"", 1, 0x90, 0x90}, // It was never set.
	} {
		for j, want := range []byte{tc.refusal, tc.next} {
			pk := packets.Packet{
				FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, PacketID: 1,
				TopicName: tc.topic, Payload: []byte(strings.Repeat("p", tc.payload)),
				Properties: packets.Properties{TopicAlias: uint16(i + 1), TopicAliasFlag: true},
			}
			if j > 0 {
				pk.TopicName, pk.Payload = "", []byte("x")
			}
			d.send(pk, pk.PublishEncode)
			if ack := d.want(packets.Puback); ack.ReasonCode != want {
				t.Errorf("%.10q, message %d: PUBACK %#x, want %#x", tc.topic, j, ack.ReasonCode, want)
			}
		}
	}
	if got := f.heard("d1 up"); len(got) != 1 {
		t.Errorf("meterd heard %q", got)
	}
}

// TestOversizedPropertiesEndTheConnection: what is too large to be read as far as its packet identifier cannot be
// acknowledged.
func TestOversizedPropertiesEndTheConnection(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	d := g.mustDial("p1", "d1", 5)
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1}, ProtocolVersion: 5, PacketID: 1, TopicName: "t",
	}
	for range 8 {
		pk.Properties.User = append(pk.Properties.User, packets.UserProperty{Key: "k", Val: strings.Repeat("v", 60_000)})
	}
	d.send(pk, pk.PublishEncode)
	if bye := d.wantClosed(); bye.ReasonCode != packets.ErrPacketTooLarge.Code {
		t.Errorf("DISCONNECT %#x", bye.ReasonCode)
	}
}

// TestNeverValidWillIsDropped: a will is refused when it would be published.
func TestNeverValidWillIsDropped(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	screen := g.mustDial("p1", "screen", 5)
	screen.subscribe("#", 0)
	for i, topic := range []string{strings.Repeat("x", 300), "$SYS/broker/version", "gone"} {
		d, ack := g.dial("p1", fmt.Sprintf("d%d", i), 5, func(pk *packets.Packet) {
			pk.Connect.WillFlag, pk.Connect.WillTopic, pk.Connect.WillPayload = true, topic, []byte("w")
			pk.Connect.WillRetain = true
		})
		if ack.ReasonCode != 0 {
			t.Fatalf("%q: CONNACK %#x", topic, ack.ReasonCode)
		}
		_ = d.conn.Close()
		f.await(fmt.Sprintf("d%d disconnect", i), 1)
	}
	if pk := screen.want(packets.Publish); pk.TopicName != "gone" {
		t.Errorf("%.10q came first", pk.TopicName)
	}
	if got := g.metric(`meterd_gateway_denied_total{reason="topic_invalid"}`); got != "1" {
		t.Errorf("%q wills with an invalid topic", got)
	}
	if got := g.metric(`meterd_gateway_denied_total{reason="topic_too_long"}`); got != "1" {
		t.Errorf("%q wills whose topic is too long", got)
	}
}

// TestStockClientGoesOnAfterWhatIsNeverValid: mosquitto_pub is acknowledged and does not come back with the message.
func TestStockClientGoesOnAfterWhatIsNeverValid(t *testing.T) {
	f := newFake(t)
	g := start(t, f, nil)
	long := strings.Repeat("x", 300)
	for version, warning := range map[string]string{"mqttv311": "", "mqttv5": "topic name invalid"} {
		out, exit := g.pub(numbered(2), "-V", version, "-u", "demo", "-i", version, "-t", long, "-q", "1")
		if exit != 0 || !strings.Contains(strings.ToLower(out), warning) {
			t.Errorf("%s: exit %d, %q", version, exit, out)
		}
		f.await(version+" disconnect", 1)
		if got := f.heard(version); len(got) != 2 {
			t.Errorf("%s: meterd heard %q", version, got)
		}
	}
}
