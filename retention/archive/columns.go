package archive

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Columns of a block, in the order in which they lie in it (FORMAT.md).
const (
	colDevices  = iota // distance to the device before, number of its rows
	colTimes           // milliseconds since the row before of the device
	colTies            // Row.Tie
	colOrders          // Row.Order
	colKinds           // one byte a row
	colLogDays         // runs of rows with the same LogDays
	colCodes           // one byte a denied row
	colSizes           // bytes
	colDays            // of rows that have a Day, less the last one
	colUps             // accepted messages: units, less what was to be expected
	colDowns           // the same
	colUsed            // other rows
	colDenied          // counted rows, less the last one
	colNames           // rows of unknown devices
	colExtras          // id, topic, claimed time
	colPayloads        // bytes of a payload
	colQuotas          // runs of rows with the same quota
	columns
)

// Bits of a kind. The lowest three are the type.
const (
	kindType    = 7
	kindDenied  = 1 << 3
	kindCounted = 1 << 4
	kindExtra   = 1 << 5
	kindPayload = 1 << 6
	kindQuota   = 1 << 7
)

// Bits of an extra.
const (
	extraID        = 1
	extraTopic     = 2
	extraTime      = 4
	extraSameTopic = 8 // as the row before that has one
	extraCut       = 16
	extraWouldDeny = 32 // the quota would have denied the row
	extraRequested = 64 // units that an upgrade needed, and what packs had
)

var errShort = errors.New("a column ends in the middle of a value")

// column takes values from the front of its bytes. An empty column has nothing but zeroes. After the first error it
// returns zeroes.
type column struct {
	b      []byte
	zeroes bool
	failed bool
}

func (c *column) fail() {
	c.failed, c.b = true, nil
}

func (c *column) byte() byte {
	if c.zeroes {
		return 0
	}
	if len(c.b) == 0 {
		c.fail()
		return 0
	}
	v := c.b[0]
	c.b = c.b[1:]
	return v
}

func (c *column) uvarint() uint64 {
	if c.zeroes {
		return 0
	}
	if len(c.b) > 0 && c.b[0] < 0x80 {
		v := uint64(c.b[0])
		c.b = c.b[1:]
		return v
	}
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *column) varint() int64 {
	return zigzag(c.uvarint())
}

// zigzag returns the signed value that a varint stands for.
func zigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

// uvarints reads as many values as dst has.
func (c *column) uvarints(dst []uint64) {
	if c.zeroes {
		clear(dst)
		return
	}
	b := c.b
	for i := range dst {
		switch {
		case len(b) > 0 && b[0] < 0x80:
			dst[i], b = uint64(b[0]), b[1:]
		case len(b) > 1 && b[1] < 0x80:
			dst[i], b = uint64(b[0]&0x7f)|uint64(b[1])<<7, b[2:]
		default:
			c.b = b
			dst[i] = c.uvarint()
			b = c.b
		}
	}
	c.b = b
}

func (c *column) bytes(n uint64) []byte {
	if n > uint64(len(c.b)) {
		c.fail()
		return nil
	}
	v := c.b[:n:n]
	c.b = c.b[n:]
	return v
}

// appendColumns appends the columns behind their lengths; one of nothing but zeroes has no bytes.
func appendColumns(dst []byte, cols *[columns][]byte) []byte {
	for i := range cols {
		if allZero(cols[i]) {
			cols[i] = cols[i][:0]
		}
		dst = binary.AppendUvarint(dst, uint64(len(cols[i])))
	}
	for i := range cols {
		dst = append(dst, cols[i]...)
	}
	return dst
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// splitColumns cuts b into columns; nothing may follow them.
func splitColumns(b []byte, cols *[columns]column) error {
	var sizes [columns]uint64
	head := column{b: b}
	for i := range sizes {
		sizes[i] = head.uvarint()
	}
	for i := range cols {
		cols[i] = column{b: head.bytes(sizes[i]), zeroes: sizes[i] == 0}
	}
	switch {
	case head.failed:
		return fmt.Errorf("its columns: %w", errShort)
	case len(head.b) > 0:
		return errors.New("bytes follow its last column")
	}
	return nil
}

func appendVarint(dst []byte, v int64) []byte { return binary.AppendVarint(dst, v) }
