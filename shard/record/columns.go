package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Version is the first byte of every chunk.
const Version = 4

// The columns of a chunk, in the order in which they lie in it (FORMAT.md).
const (
	colBindings = iota // bindings of devices and producers
	colBatches         // decided time, holder, number of rows
	colKinds           // one byte a row
	colCodes           // one byte a denied row
	colShards          // ordinals of known devices, one plane a byte, highest first
	colPlane3
	colPlane2
	colPlane1
	colPlane0
	colSizes  // uvarint
	colDays   // runs of accepted messages of one day
	colUps    // uvarint, after the event
	colDowns  // uvarint, after the event
	colUsed   // uvarint, what a row that is no accepted message shows as the day's use
	colDenied // day and count of denials after a denial by the message quota
	colNames  // product and name of devices that are not known
	colExtras // id, topic, claimed time
	colPayloads
	colEffects // words that are no message's
	colQuotas  // runs of rows that a quota denied, or would have: its numbers as they were answered
	columns
)

// The bits of a row's kind. The lowest three are its event.Type.
const (
	kindType    = 7
	kindDenied  = 1 << 3
	kindNamed   = 1 << 4 // the device is not known: its name stands in full
	kindExtra   = 1 << 5
	kindPayload = 1 << 6
	kindCounted = 1 << 7 // a denial by the message quota: it has a word in colDenied
)

// The bits of an extra.
const (
	extraID    = 1
	extraTopic = 2
	extraTime  = 4
	extraCut   = 8 // the payload is not whole
	// the event was accepted, although the quota of its product, which only observes, would have denied it
	extraWouldDeny = 16
	extraRequested = 32 // units that an upgrade needed, and what packs had
)

// ordinalBytes is the width of a device ordinal: 8 bits of shard, 31 of arena index.
const ordinalBytes = 5

var errShort = errors.New("a column ends in the middle of a value")

// reader takes values from the front of a column. After the first error it returns zeros; err says what it was.
type reader struct {
	b      []byte
	err    error
	failed *bool // set with err, when not nil: a caller with many readers looks at one flag
}

func (r *reader) fail() {
	if r.err == nil {
		r.err = errShort
	}
	if r.failed != nil {
		*r.failed = true
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 { // most are
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint64() uint64 {
	if len(r.b) < 8 {
		r.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

// bytes returns the next n bytes, in place.
func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

// split cuts a raw chunk into its columns.
func split(raw []byte) (rows int, cols [columns][]byte, err error) {
	if len(raw) == 0 || raw[0] != Version {
		return 0, cols, fmt.Errorf("chunk has not version %d", Version)
	}
	r := reader{b: raw[1:]}
	n := r.uvarint()
	var sizes [columns]uint64
	for i := range sizes {
		sizes[i] = r.uvarint()
	}
	for i := range sizes {
		cols[i] = r.bytes(sizes[i])
	}
	switch {
	case r.err != nil:
		return 0, cols, fmt.Errorf("chunk header: %w", r.err)
	case len(r.b) != 0:
		return 0, cols, errors.New("chunk has bytes behind its last column")
	case uint64(len(cols[colKinds])) != n:
		return 0, cols, errors.New("chunk has another number of rows than its header says")
	}
	return int(n), cols, nil
}
