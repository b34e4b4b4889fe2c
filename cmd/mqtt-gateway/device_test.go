package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// rawDevice is an MQTT client that does only what it is told, so that tests see every packet and can leave out
// acknowledgements.
type rawDevice struct {
	t       *testing.T
	conn    net.Conn
	r       *bufio.Reader
	version byte
}

// dial connects the device and returns it with its CONNACK.
func (g *running) dial(username, id string, version byte, change func(*packets.Packet)) (*rawDevice, packets.Packet) {
	g.t.Helper()
	d := g.open(username, id, version, change)
	return d, d.want(packets.Connack)
}

// open sends a CONNECT and waits for nothing.
func (g *running) open(username, id string, version byte, change func(*packets.Packet)) *rawDevice {
	g.t.Helper()
	conn, err := net.Dial("tcp", g.at.mqtt)
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = conn.Close() })
	d := &rawDevice{t: g.t, conn: conn, r: bufio.NewReader(conn), version: version}
	pk := packets.Packet{
		FixedHeader:     packets.FixedHeader{Type: packets.Connect},
		ProtocolVersion: version,
		Connect: packets.ConnectParams{
			ProtocolName: []byte(
				"MQTT",
			),
			ClientIdentifier: id,
			Username:         []byte(username),
			UsernameFlag:     true,
			Keepalive:        60,
			Clean:            true,
		},
	}
	if change != nil {
		change(&pk)
	}
	d.send(pk, pk.ConnectEncode)
	return d
}

// mustDial connects a device that is let in.
func (g *running) mustDial(username, id string, version byte) *rawDevice {
	g.t.Helper()
	d, ack := g.dial(username, id, version, nil)
	if ack.ReasonCode != 0 {
		g.t.Fatalf("%s/%s: CONNACK %#x", username, id, ack.ReasonCode)
	}
	return d
}

func (d *rawDevice) send(pk packets.Packet, encode func(*bytes.Buffer) error) {
	d.t.Helper()
	var buf bytes.Buffer
	if err := encode(&buf); err != nil {
		d.t.Fatalf("encode %s: %v", packets.PacketNames[pk.FixedHeader.Type], err)
	}
	if _, err := d.conn.Write(buf.Bytes()); err != nil {
		d.t.Fatalf("send %s: %v", packets.PacketNames[pk.FixedHeader.Type], err)
	}
}

// trySend sends a CONNECT or a PUBLISH to a gateway that may be gone.
func (d *rawDevice) trySend(pk packets.Packet) error {
	encode := pk.PublishEncode
	if pk.FixedHeader.Type == packets.Connect {
		encode = pk.ConnectEncode
	}
	var buf bytes.Buffer
	if err := encode(&buf); err != nil {
		d.t.Fatal(err)
	}
	_, err := d.conn.Write(buf.Bytes())
	return err
}

func (d *rawDevice) publish(topic, payload string, qos byte, id uint16) {
	d.t.Helper()
	d.publishAgain(topic, payload, qos, id, false)
}

// publishAgain publishes with the DUP flag, if isAgain.
func (d *rawDevice) publishAgain(topic, payload string, qos byte, id uint16, isAgain bool) {
	d.t.Helper()
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos, Dup: isAgain}, ProtocolVersion: d.version,
		TopicName: topic, Payload: []byte(payload), PacketID: id,
	}
	d.send(pk, pk.PublishEncode)
}

func (d *rawDevice) subscribe(filter string, qos byte) {
	d.t.Helper()
	pk := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1}, ProtocolVersion: d.version, PacketID: 60000,
		Filters: packets.Subscriptions{{Filter: filter, Qos: qos}},
	}
	d.send(pk, pk.SubscribeEncode)
	if ack := d.want(packets.Suback); ack.ReasonCodes[0] > 2 {
		d.t.Fatalf("subscribe %s: %#x", filter, ack.ReasonCodes[0])
	}
}

func (d *rawDevice) ack(typ byte, id uint16) {
	d.t.Helper()
	pk := packets.Packet{FixedHeader: packets.FixedHeader{Type: typ}, ProtocolVersion: d.version, PacketID: id}
	if typ == packets.Pubrel {
		pk.FixedHeader.Qos = 1
	}
	d.send(pk, pk.PubackEncode)
}

// read returns the next packet, or the error that ended the connection.
func (d *rawDevice) read() (packets.Packet, error) {
	d.t.Helper()
	_ = d.conn.SetReadDeadline(time.Now().Add(patience))
	first, err := d.r.ReadByte()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		d.t.Fatal("waited in vain for a packet")
	}
	if err != nil {
		return packets.Packet{}, err
	}
	pk := packets.Packet{ProtocolVersion: d.version}
	if err := pk.FixedHeader.Decode(first); err != nil {
		d.t.Fatal(err)
	}
	pk.FixedHeader.Remaining, _, err = packets.DecodeLength(d.r)
	if err != nil {
		return pk, err
	}
	body := make([]byte, pk.FixedHeader.Remaining)
	if _, err := io.ReadFull(d.r, body); err != nil {
		return pk, err
	}
	decode := map[byte]func([]byte) error{
		packets.Connack: pk.ConnackDecode, packets.Publish: pk.PublishDecode, packets.Puback: pk.PubackDecode,
		packets.Pubrec: pk.PubrecDecode, packets.Pubrel: pk.PubrelDecode, packets.Pubcomp: pk.PubcompDecode,
		packets.Suback:     pk.SubackDecode,
		packets.Disconnect: pk.DisconnectDecode,
	}[pk.FixedHeader.Type]
	if decode == nil {
		d.t.Fatalf("the broker sent a packet of type %d", pk.FixedHeader.Type)
	}
	if err := decode(body); err != nil {
		d.t.Fatalf("decode %s: %v", packets.PacketNames[pk.FixedHeader.Type], err)
	}
	return pk, nil
}

// want reads the next packet, which must be of a type.
func (d *rawDevice) want(typ byte) packets.Packet {
	d.t.Helper()
	pk, err := d.read()
	if err != nil {
		d.t.Fatalf("waiting for %s: %v", packets.PacketNames[typ], err)
	}
	if pk.FixedHeader.Type != typ {
		d.t.Fatalf("got %s, want %s", packets.PacketNames[pk.FixedHeader.Type], packets.PacketNames[typ])
	}
	return pk
}

// wantClosed reads until the connection ends; a DISCONNECT may come before.
func (d *rawDevice) wantClosed() (last packets.Packet) {
	d.t.Helper()
	for {
		pk, err := d.read()
		if err != nil {
			return last
		}
		if pk.FixedHeader.Type != packets.Disconnect {
			d.t.Fatalf("got %s, want the end", packets.PacketNames[pk.FixedHeader.Type])
		}
		last = pk
	}
}
