package archive

import (
	"errors"
	"slices"
)

// unpacker reads whole blocks into the rows of a batch. It keeps its memory from block to block.
type unpacker struct {
	block  blockReader
	values [unpackColumns][]uint64
}

// The columns of a bare row that have a value for each.
const (
	valueTimes = iota
	valueTies
	valueOrders
	valueSizes
	valueDays
	valueUps
	valueDowns
	unpackColumns
)

var errUnpackTime = errors.New("a block is damaged: a row was decided long before or behind all others")

// add appends the rows of a list's block to b. Their texts are copied.
func (u *unpacker) add(b *batch, key entryKey, raw []byte, from blockList, baseMs int64) error {
	r := &u.block
	if err := r.open(key, raw); err != nil {
		return from.damaged(err)
	}
	at := len(b.rows)
	if u.addBare(b, baseMs) {
		return nil
	}
	b.rows = b.rows[:at]
	var payloads []byte
	for r.next() {
		if (r.row.DecidedMs-baseMs)>>48 != 0 {
			return from.damaged(errUnpackTime)
		}
		if r.size > 0 {
			var err error
			if payloads == nil {
				if payloads, err = from.payloads(); err != nil {
					return err
				}
			}
			if r.row.Payload, err = payloadOf(payloads, r.from, r.size); err != nil {
				return from.damaged(err)
			}
		}
		b.add(&r.row, baseMs)
		b.rows[len(b.rows)-1].logDays = uint16(min(r.row.LogDays, 1<<16-1))
	}
	if r.err != nil {
		return from.damaged(r.err)
	}
	return nil
}

// addBare appends the rows of a block that are all bare. It reports false if there are others, or the block is damaged:
// what it has appended then is to be taken back.
func (u *unpacker) addBare(b *batch, baseMs int64) bool {
	r := &u.block
	n, kinds := int(r.left), r.cols[colKinds].b
	if len(kinds) != n || r.cols[colKinds].zeroes {
		return false
	}
	for _, k := range kinds {
		if k != typeUp && k != typeDown {
			return false
		}
	}
	cols := [unpackColumns]int{colTimes, colTies, colOrders, colSizes, colDays, colUps, colDowns}
	for i, number := range cols {
		u.values[i] = slices.Grow(u.values[i][:0], n)[:n]
		c := r.cols[number]
		if c.uvarints(u.values[i]); c.failed {
			return false
		}
	}
	at := len(b.rows)
	b.rows = slices.Grow(b.rows, n)[:at+n]
	return u.fill(b.rows[at:], kinds, baseMs) && u.fillLogDays(b.rows[at:])
}

// fill sets bare rows to what the columns say. It reports whether they fit.
func (u *unpacker) fill(rows []memoryRow, kinds []byte, baseMs int64) bool {
	n := len(rows)
	times, ties, sizes := u.values[valueTimes][:n], u.values[valueTies][:n], u.values[valueSizes][:n]
	days, ups, downs := u.values[valueDays][:n], u.values[valueUps][:n], u.values[valueDowns][:n]
	list, device := u.block.cols[colDevices], u.block.row.Device
	over := uint64(0)
	for i := 0; i < n; {
		device += Device(list.uvarint())
		k := list.uvarint()
		if k == 0 || k > uint64(n-i) || !device.IsKnown() {
			return false
		}
		c, since := counts{}, u.block.firstMs-baseMs
		for end := i + int(k); i < end; i++ {
			since += zigzag(times[i])
			if day := uint32(int64(c.day) + zigzag(days[i])); day != c.day {
				c = counts{day: day}
			}
			if kinds[i] == typeUp {
				c.up++
			} else {
				c.down++
			}
			c.up, c.down = uint32(int64(c.up)+zigzag(ups[i])), uint32(int64(c.down)+zigzag(downs[i]))
			over |= uint64(since)>>48 | sizes[i]>>32 | ties[i]>>32 | uint64(c.day)>>16
			rows[i] = memoryRow{
				device: device, ms: uint32(since), msHigh: uint16(since >> 32), tie: uint32(ties[i]), size: uint32(sizes[i]),
				up: c.up, down: c.down, day: uint16(c.day), kind: kinds[i],
			}
		}
	}
	return over == 0
}

func (u *unpacker) fillLogDays(rows []memoryRow) bool {
	list := u.block.cols[colLogDays]
	for i := 0; i < len(rows); {
		k, days := list.uvarint(), list.uvarint()
		if k == 0 || k > uint64(len(rows)-i) || days>>16 != 0 {
			return false
		}
		for end := i + int(k); i < end; i++ {
			rows[i].logDays = uint16(days)
		}
	}
	return true
}
