package archive

import (
	"cmp"
	"slices"
)

// ordered returns b in the order of devices and places. product says whose an ordinal is; it is asked in the order of
// ordinals, once for each device.
func (m *Memory) ordered(b *batch, product func(ordinal uint64) uint32) batch {
	out := batch{rows: m.sorting.byDevice(b.rows), texts: b.texts}
	several, last := false, uint32(0)
	const noProduct = ^uint32(0)
	daysOf, days := noProduct, uint16(0)
	for from := 0; from < len(out.rows); {
		to := from + 1
		for to < len(out.rows) && out.rows[to].device.InProduct() == out.rows[from].device.InProduct() {
			to++
		}
		d := out.rows[from].device
		if d.IsKnown() {
			d = Known(product(d.Ordinal()), d.Ordinal())
		}
		for i := from; i < to; i++ {
			if d.IsKnown() {
				out.rows[i].device = d
			}
			if p := out.rows[i].device.Product(); p != daysOf {
				daysOf, days = p, b.daysOf(out.rows[i].device)
			}
			out.rows[i].logDays = days
		}
		settle(out.rows[from:to])
		p := out.rows[from].device.Product() // A name's hash may be that of devices of several products.
		several = several || from > 0 && p != last || out.rows[to-1].device.Product() != p
		last = p
		from = to
	}
	if several {
		slices.SortStableFunc(out.rows, func(x, y memoryRow) int { return cmp.Compare(x.device, y.device) })
	}
	p := m.pack(&out)
	m.size += p.bytes()
	return batch{packed: p}
}

// settle orders the rows of one device, or of unknown devices of several products whose names have one hash, by device
// and place: chunks of a group were decided at the same time, and within a millisecond the day's use tells what came
// first, for it never falls.
func settle(rows []memoryRow) {
	if len(rows) > settleRows {
		slices.SortStableFunc(rows, func(x, y memoryRow) int {
			switch {
			case x.before(&y):
				return -1
			case y.before(&x):
				return 1
			}
			return 0
		})
		return
	}
	for i := 1; i < len(rows); i++ {
		for j := i; j > 0 && rows[j].before(&rows[j-1]); j-- {
			rows[j], rows[j-1] = rows[j-1], rows[j]
		}
	}
}

func (x *memoryRow) before(y *memoryRow) bool {
	switch {
	case x.device != y.device:
		return x.device < y.device
	case x.msHigh != y.msHigh:
		return x.msHigh < y.msHigh
	case x.ms != y.ms:
		return x.ms < y.ms
	case x.tie != y.tie:
		return x.tie < y.tie
	}
	return x.used() < y.used()
}

func (x *memoryRow) used() uint32 {
	if x.kind&kindDenied == 0 && (x.kind&kindType == typeUp || x.kind&kindType == typeDown) && x.device.IsKnown() {
		return x.up + x.down
	}
	return x.up
}

// sorting orders rows by device. What it uses is kept for the next time.
type sorting struct {
	keys, other []uint64
	sorted      []memoryRow
}

// byDevice returns rows of one product, or whose products are yet to be looked up, in the order of devices; those of a
// device stay as they are. The result is valid until it is called again.
func (s *sorting) byDevice(rows []memoryRow) []memoryRow {
	const rowBits = 24
	s.sorted = slices.Grow(s.sorted[:0], len(rows))[:len(rows)]
	if len(rows) > 1<<rowBits {
		copy(s.sorted, rows)
		slices.SortStableFunc(s.sorted, func(x, y memoryRow) int {
			return cmp.Compare(x.device.InProduct(), y.device.InProduct())
		})
		return s.sorted
	}
	keys := slices.Grow(s.keys[:0], len(rows))[:len(rows)]
	for i := range rows {
		keys[i] = uint64(rows[i].device.InProduct())<<rowBits | uint64(i)
	}
	s.other = slices.Grow(s.other[:0], len(keys))[:len(keys)]
	s.keys, s.other = radixSort(keys, s.other, rowBits)
	for i, k := range s.keys {
		s.sorted[i] = rows[k&(1<<rowBits-1)]
	}
	return s.sorted
}

// radixSort sorts keys by their bits from `low` on and keeps the order of equal ones. It returns the sorted slice and
// the other one.
func radixSort(keys, other []uint64, low uint) (sorted, rest []uint64) {
	const digitBits, digits = 10, 1 << 10
	differ := uint64(0)
	for _, k := range keys {
		differ |= k ^ keys[0]
	}
	for shift := low; shift < 64; shift += digitBits {
		if differ>>shift&(digits-1) == 0 {
			continue
		}
		var count [digits]uint32
		for _, k := range keys {
			count[k>>shift&(digits-1)]++
		}
		at := uint32(0)
		for i, n := range count {
			count[i] = at
			at += n
		}
		for _, k := range keys {
			d := k >> shift & (digits - 1)
			other[count[d]] = k
			count[d]++
		}
		keys, other = other, keys
	}
	return keys, other
}

// Orders numbers rows of one device, group and millisecond that follow each other: it sets their Order.
type Orders struct {
	device Device
	ms     int64
	tie    uint32
	order  uint32
	begun  bool
}

// Number sets the Order of the next row.
func (o *Orders) Number(r *Row) { r.Order = o.next(r.Device, r.DecidedMs, r.Tie) }

// next returns the Order of the next row.
func (o *Orders) next(device Device, ms int64, tie uint32) uint32 {
	if o.begun && device == o.device && ms == o.ms && tie == o.tie {
		o.order = min(o.order+1, orderMax)
	} else {
		*o = Orders{device: device, ms: ms, tie: tie, begun: true}
	}
	return o.order
}
