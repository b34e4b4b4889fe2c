package main

import (
	"bufio"
	"errors"
	"io"

	"github.com/mochi-mqtt/server/v2/packets"
)

var errMalformedLength = errors.New("malformed packet: remaining length")

// packetReader lets the broker read what a device sends, one packet at a time: no Read goes beyond the end of a packet,
// so the broker is done with all packets before the next one is looked at. It keeps a PUBLISH that is longer than max
// from the broker, which would close the connection.
type packetReader struct {
	from *bufio.Reader
	max  int // bytes of a packet, the remaining length excluded
	left int // bytes of the current packet that were not read yet
	// oversized takes the body of a PUBLISH that is longer than max off from; first is the first byte of its fixed header.
	oversized func(first byte, remaining int) error
}

// Read is what the broker calls.
func (r *packetReader) Read(b []byte) (int, error) {
	for r.left == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n, err := r.from.Read(b[:min(len(b), r.left)])
	r.left -= n
	return n, err
}

// next looks at the fixed header of the next packet: a byte, and the remaining length in one to four bytes of seven
// bits, the lowest first.
func (r *packetReader) next() error {
	remaining := 0
	for size := 2; size <= 5; size++ {
		header, err := r.from.Peek(size)
		if err != nil {
			return err
		}
		remaining |= int(header[size-1]&0x7F) << (7 * (size - 2))
		if header[size-1] >= 0x80 {
			continue
		}
		first := header[0]
		if first>>4 != packets.Publish || 1+remaining <= r.max {
			r.left = size + remaining
			return nil
		}
		if _, err := r.from.Discard(size); err != nil {
			return err
		}
		return r.oversized(first, remaining)
	}
	return errMalformedLength
}

// oversized refuses a PUBLISH that is longer than packetBytesMax. Its beginning is read, which names the topic and the
// packet id; the payload is passed over. However long it takes, each discardBytes of it show that the device is alive.
func (c *connection) oversized(first byte, remaining int) error {
	cl := c.client.Load()
	if cl == nil {
		return packets.ErrProtocolViolationRequireFirstConnect
	}
	head := make([]byte, min(remaining, publishHeadBytesMax))
	if _, err := io.ReadFull(c.in.from, head); err != nil {
		return err
	}
	pk := packets.Packet{ProtocolVersion: cl.Properties.ProtocolVersion}
	if pk.FixedHeader.Decode(first) != nil || pk.PublishDecode(head) != nil || !c.gateway.isPublish(&pk) {
		c.gateway.closeClient(cl, packets.ErrPacketTooLarge) // Without a packet id nothing can be acknowledged.
		return packets.ErrPacketTooLarge
	}
	for left := remaining - len(head); left > 0; {
		n, err := c.in.from.Discard(min(left, discardBytes))
		if err != nil {
			return err
		}
		left -= n
		c.extendRead()
	}
	topic, payloadBytes := topicOf(cl, &pk), remaining-len(head)+len(pk.Payload)
	f := faultOf(topic, payloadBytes)
	if f == noFault {
		f = payloadTooLarge // Within the limit, and beside it the longest properties.
	}
	c.gateway.drop(c, f, topic, payloadBytes)
	refuse(cl, &pk, f.refusal())
	return nil
}
