package bench

import "encoding/binary"

// Hot path: the columns of a batch, under 10 ns an event. All batches of one size have the same layout. So everything
// is copied at once, and only digits, types and sizes are written one by one.

// The fields of meterd.v1.Batch that are sent, as protobuf writes their tags: all are length-delimited.
const (
	tagProducts = 1<<3 | 2
	tagDevices  = 2<<3 | 2
	tagTypes    = 3<<3 | 2
	tagSizes    = 4<<3 | 2
	tagPayloads = 7<<3 | 2
)

// wireTypes are the numbers of meterd.v1.Type.
var wireTypes = [...]byte{connect: 1, up: 3, down: 4}

// sizeBytes is the length of a size as a varint, from sizeMin on.
const sizeBytes = 2

// columns encodes events as meterd.v1.Batch. It is not safe for concurrent use.
type columns struct {
	product      string
	payloadBytes int
	payload      draws
	layout       layout // of the last batch; most batches have the same
}

// layout is a batch in which everything that differs from event to event is blank.
type layout struct {
	events   int
	connects bool // neither sizes nor payloads
	text     []byte

	device, deviceStride   int // offset of the last byte before the first device's digits, and the distance to the next
	types, sizes           int // offsets of the columns; no sizes: 0
	payload, payloadStride int // no payloads: 0
}

func newColumns(product string, payloadBytes int, payload draws) *columns {
	return &columns{product: product, payloadBytes: payloadBytes, payload: payload}
}

// lay makes the layout of a batch. A batch holds only connects or only messages.
func (c *columns) lay(events int, connects bool) {
	l := layout{events: events, connects: connects, text: c.layout.text[:0]}
	field := func(tag byte, length int) {
		l.text = binary.AppendUvarint(append(l.text, tag), uint64(length))
	}
	blank := func(n int) { l.text = append(l.text, make([]byte, n)...) }

	field(tagProducts, len(c.product))
	l.text = append(l.text, c.product...)
	from := len(l.text)
	for i := range events {
		field(tagDevices, len(devicePrefix)+deviceDigits)
		l.text = append(l.text, devicePrefix...)
		if i == 0 {
			l.device = len(l.text) - 1
		}
		blank(deviceDigits)
		l.deviceStride = (len(l.text) - from) / (i + 1)
	}
	field(tagTypes, events)
	l.types = len(l.text)
	blank(events)
	switch {
	case connects:
	case c.payloadBytes == 0:
		field(tagSizes, events*sizeBytes)
		l.sizes = len(l.text)
		blank(events * sizeBytes)
	default: // The sizes are those of the payloads.
		from := len(l.text)
		for i := range events {
			field(tagPayloads, c.payloadBytes)
			if i == 0 {
				l.payload = len(l.text)
			}
			blank(c.payloadBytes)
			l.payloadStride = (len(l.text) - from) / (i + 1)
		}
	}
	c.layout = l
}

// appendBatch appends the batch.
func (c *columns) appendBatch(dst []byte, batch []message) []byte {
	if connects := batch[0].kind == connect; c.layout.events != len(batch) || c.layout.connects != connects {
		c.lay(len(batch), connects)
	}
	l := &c.layout
	at := len(dst)
	dst = append(dst, l.text...)
	body := dst[at:]
	devices, types := body[l.device:], body[l.types:l.types+len(batch)]
	for i, m := range batch {
		types[i] = wireTypes[m.kind]
		writeDevice(devices[i*l.deviceStride:], m.device)
	}
	if l.sizes > 0 {
		sizes := body[l.sizes : l.sizes+sizeBytes*len(batch)]
		for i, m := range batch {
			sizes[sizeBytes*i] = byte(m.size) | 0x80
			sizes[sizeBytes*i+1] = byte(m.size >> 7)
		}
	}
	if l.payload > 0 {
		for i := range batch {
			from := l.payload + i*l.payloadStride
			writeHex(body[from:from+c.payloadBytes], &c.payload)
		}
	}
	return dst
}
