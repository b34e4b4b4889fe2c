package usage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/shard/views"
)

// joinDay raises d to what another record says of the same device and day: the two words of a day are closed one by
// one.
func joinDay(d, o *views.DeviceDay) {
	d.Up, d.Down, d.Denied = max(d.Up, o.Up), max(d.Down, o.Down), max(d.Denied, o.Denied)
}

// dayCodec packs device-days of one product and day into blocks, column by column, each column a plane a byte: low
// bytes hardly compress, high ones hardly cost, and each plane has its own code. It is safe for concurrent use.
type dayCodec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

const dayBlockVersion = 1

// The forms of a plane.
const (
	planeRaw   = 0 // the bytes as they are
	planeAlike = 1 // one byte stands for all
	planeZstd  = 2 // length, zstd
)

func newDayCodec() *dayCodec {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic("BUG: the options of an encoder: " + err.Error())
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(planeInflatedMax))
	if err != nil {
		panic("BUG: the options of a decoder: " + err.Error())
	}
	return &dayCodec{enc: enc, dec: dec}
}

// append appends a block of 1 to dayBlockRows device-days, whose ordinals rise.
func (c *dayCodec) append(dst []byte, rows []views.DeviceDay) []byte {
	dst = append(dst, dayBlockVersion)
	dst = binary.AppendUvarint(dst, uint64(len(rows)))
	dst = binary.AppendUvarint(dst, rows[len(rows)-1].Ordinal-rows[0].Ordinal)
	column := make([]uint64, len(rows))
	for i := 1; i < len(rows); i++ {
		column[i-1] = rows[i].Ordinal - rows[i-1].Ordinal
	}
	dst = c.appendColumn(dst, column[:len(rows)-1])
	for _, field := range []func(*views.DeviceDay) uint64{
		func(d *views.DeviceDay) uint64 { return uint64(d.Up) },
		func(d *views.DeviceDay) uint64 { return uint64(d.Down) },
		func(d *views.DeviceDay) uint64 { return d.Denied },
	} {
		for i := range rows {
			column[i] = field(&rows[i])
		}
		dst = c.appendColumn(dst, column)
	}
	return dst
}

// appendColumn appends how many bytes the largest number has, and so many planes, the lowest bytes first.
func (c *dayCodec) appendColumn(dst []byte, column []uint64) []byte {
	var most uint64
	for _, n := range column {
		most |= n
	}
	width := 0
	for ; most > 0; most >>= 8 {
		width++
	}
	dst = append(dst, byte(width))
	plane := make([]byte, len(column))
	for p := range width {
		for i, n := range column {
			plane[i] = byte(n >> (8 * p))
		}
		dst = c.appendPlane(dst, plane)
	}
	return dst
}

func (c *dayCodec) appendPlane(dst, plane []byte) []byte {
	if alike(plane) {
		return append(dst, planeAlike, plane[0])
	}
	packed := c.enc.EncodeAll(plane, nil)
	if len(packed)+3 >= len(plane) {
		return append(append(dst, planeRaw), plane...)
	}
	dst = binary.AppendUvarint(append(dst, planeZstd), uint64(len(packed)))
	return append(dst, packed...)
}

func alike(plane []byte) bool {
	for _, b := range plane {
		if b != plane[0] {
			return false
		}
	}
	return true
}

var errDayBlock = errors.New("a block of device-days is damaged")

// dayBlock is a block whose first bytes were read.
type dayBlock struct {
	first, last uint64 // ordinals
	rows        int
	columns     []byte
}

// openDayBlock reads the first bytes of a block; its first ordinal is in its key.
func openDayBlock(first uint64, block []byte) (b dayBlock, err error) {
	if len(block) == 0 || block[0] != dayBlockVersion {
		return b, fmt.Errorf("%w: it has not version %d", errDayBlock, dayBlockVersion)
	}
	rows, n := binary.Uvarint(block[1:])
	if n <= 0 || rows == 0 || rows > dayBlockRows {
		return b, fmt.Errorf("%w: its number of rows", errDayBlock)
	}
	span, m := binary.Uvarint(block[1+n:])
	if m <= 0 || first > uint64(counters.OrdinalMax) || span > uint64(counters.OrdinalMax)-first || span < rows-1 {
		return b, fmt.Errorf("%w: its ordinals", errDayBlock)
	}
	return dayBlock{first: first, last: first + span, rows: int(rows), columns: block[1+n+m:]}, nil
}

// decode appends the block's device-days to dst.
func (c *dayCodec) decode(dst []views.DeviceDay, b *dayBlock) ([]views.DeviceDay, error) {
	r := planeReader{c: c, b: b.columns}
	column := make([]uint64, b.rows)
	at := len(dst)
	dst = slices.Grow(dst, b.rows)[:at+b.rows]
	rows := dst[at:]
	clear(rows)
	r.column(column[:b.rows-1])
	ordinal := b.first
	rows[0].Ordinal = ordinal
	for i := 1; i < b.rows && r.err == nil; i++ {
		step := column[i-1]
		if step == 0 || step > b.last-ordinal {
			return dst[:at], fmt.Errorf("%w: its ordinals do not rise to the last one", errDayBlock)
		}
		ordinal += step
		rows[i].Ordinal = ordinal
	}
	if r.err == nil && ordinal != b.last {
		return dst[:at], fmt.Errorf("%w: its ordinals do not reach the last one", errDayBlock)
	}
	for _, field := range []struct {
		most uint64
		set  func(*views.DeviceDay, uint64)
	}{
		{counters.MessagesPerDayMax, func(d *views.DeviceDay, n uint64) { d.Up = uint32(n) }},
		{counters.MessagesPerDayMax, func(d *views.DeviceDay, n uint64) { d.Down = uint32(n) }},
		{counters.DeniedMax, func(d *views.DeviceDay, n uint64) { d.Denied = n }},
	} {
		r.column(column)
		for i, n := range column {
			if n > field.most {
				return dst[:at], fmt.Errorf("%w: row %d counts %d", errDayBlock, i, n)
			}
			field.set(&rows[i], n)
		}
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = fmt.Errorf("%w: %d bytes behind its columns", errDayBlock, len(r.b))
	}
	if r.err != nil {
		return dst[:at], r.err
	}
	return dst, nil
}

// planeReader reads columns one after the other. After an error it reads zeroes.
type planeReader struct {
	c   *dayCodec
	b   []byte
	err error
}

func (r *planeReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", errDayBlock, what)
	}
	r.b = nil
}

func (r *planeReader) column(column []uint64) {
	clear(column)
	if len(r.b) == 0 {
		r.fail("a column is missing")
		return
	}
	width := int(r.b[0])
	r.b = r.b[1:]
	if width > 8 {
		r.fail("the width of a column")
		return
	}
	for p := 0; p < width && r.err == nil; p++ {
		r.plane(column, 8*p)
	}
}

// plane adds one byte, shifted, to every number of a column.
func (r *planeReader) plane(column []uint64, shift int) {
	if len(r.b) < 2 {
		r.fail("a plane is missing")
		return
	}
	form := r.b[0]
	r.b = r.b[1:]
	var plane []byte
	switch form {
	case planeAlike:
		n := uint64(r.b[0]) << shift
		r.b = r.b[1:]
		for i := range column {
			column[i] |= n
		}
		return
	case planeRaw:
		if len(r.b) < len(column) {
			r.fail("a plane is cut off")
			return
		}
		plane, r.b = r.b[:len(column)], r.b[len(column):]
	case planeZstd:
		bytes, n := binary.Uvarint(r.b)
		if n <= 0 || bytes > uint64(len(r.b)-n) {
			r.fail("a plane is cut off")
			return
		}
		var err error
		plane, err = r.c.dec.DecodeAll(r.b[n:n+int(bytes)], nil)
		r.b = r.b[n+int(bytes):]
		if err != nil || len(plane) != len(column) {
			r.fail("a plane cannot be inflated")
			return
		}
	default:
		r.fail("the form of a plane")
		return
	}
	for i, b := range plane {
		column[i] |= uint64(b) << shift
	}
}
