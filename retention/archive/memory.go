package archive

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// memoryRow is a row that waits in memory to be written. It has no pointers, so the collector does not look at it.
type memoryRow struct {
	device  Device // product 0 and no logDays until its batch is ordered
	ms      uint32 // since the memory's base
	tie     uint32
	size    uint32
	up      uint32 // of an accepted message; Used of others
	down    uint32
	text    uint32 // where its texts lie, plus one; 0: it has none
	day     uint16
	logDays uint16
	kind    uint8 // as in a block; kindExtra says that it has texts
	code    uint8
}

// batch is rows that follow each other in the log, and later the same in the order of devices. Rows and texts only grow
// while it is gathered; what is ordered is a new one. So whoever has a copy of the slices reads them without a lock.
type batch struct {
	rows  []memoryRow
	texts []byte
	// days are the log days of each product's plan, under which all of the rows were decided.
	days   map[uint32]uint32
	packed *packed // the rows, once they are ordered; then nothing else is set
}

// count returns how many rows there are.
func (b *batch) count() int {
	if b.packed != nil {
		return b.packed.rows
	}
	return len(b.rows)
}

// Memory gathers the rows of groups until they are written as a run. Whoever gathers is one goroutine.
type Memory struct {
	baseMs  int64
	batches []batch // the last one is gathered
	rows    int
	size    int    // of the batches that are ordered, bytes
	rest    func() // called now and then while a batch is ordered; nil: nothing is

	// What ordering uses, kept for the next time.
	scratch, other []uint64
	sorted         []memoryRow
	block          block
	raw            []byte
}

// reset forgets all rows.
func (m *Memory) reset() {
	m.baseMs, m.batches, m.rows, m.size = 0, nil, 0, 0
}

// add adds a row of a group; its slices are copied. No row of the group is older than firstMs; the first one that is
// added may be younger than others, which another lane has decided.
func (m *Memory) add(r *Row, firstMs int64, days map[uint32]uint32) {
	if m.rows == 0 {
		m.baseMs = firstMs
	}
	if len(m.batches) == 0 || m.batches[len(m.batches)-1].packed != nil {
		m.batches = append(m.batches, batch{rows: make([]memoryRow, 0, batchRows+batchRows/16), days: days})
	}
	m.batches[len(m.batches)-1].add(r, m.baseMs)
	m.rows++
}

// add adds a row that is not older than baseMs; its slices are copied, its log days are not.
func (b *batch) add(r *Row, baseMs int64) {
	kind := r.Type & kindType
	if r.Code != 0 {
		kind |= kindDenied
	}
	if r.Counted {
		kind |= kindCounted
	}
	row := memoryRow{
		device: r.Device, ms: uint32(r.DecidedMs - baseMs), tie: r.Tie, size: uint32(r.Size), up: r.Up, down: r.Down,
		day: uint16(r.Day), kind: kind, code: r.Code,
	}
	if !r.isMessage() {
		row.up = r.Used
	}
	if r.Counted || r.hasExtra() || r.Quota != (Quota{}) || r.Size>>32 != 0 || len(r.Name)+len(r.Payload) > 0 {
		row.kind |= kindExtra
		row.text = uint32(len(b.texts)) + 1
		b.texts = appendTexts(b.texts, r)
	}
	b.rows = append(b.rows, row)
}

// Bits that say what stands before the texts of a row.
const (
	textsCut       = 1
	textsQuota     = 2
	textsWouldDeny = 4
	textsRequested = 8
)

func appendTexts(dst []byte, r *Row) []byte {
	flags := byte(0)
	if r.IsCut {
		flags |= textsCut
	}
	if r.Quota != (Quota{}) {
		flags |= textsQuota
	}
	if r.WouldDeny != 0 {
		flags |= textsWouldDeny
	}
	if r.Requested != 0 {
		flags |= textsRequested
	}
	dst = append(dst, flags)
	if flags&textsWouldDeny != 0 {
		dst = append(dst, r.WouldDeny)
	}
	if flags&textsRequested != 0 {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(r.Requested)), r.TopupAvailable)
	}
	if flags&textsQuota != 0 {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(r.Quota.Limit)), uint64(r.Quota.Used))
		dst = binary.AppendVarint(dst, r.Quota.ResetsAtMs-r.DecidedMs)
	}
	dst = binary.AppendUvarint(dst, uint64(r.Size)>>32)
	dst = binary.AppendUvarint(dst, r.Denied)
	dst = binary.AppendVarint(dst, r.TimeMs)
	for _, t := range [][]byte{r.Name, r.ID, r.Topic, r.Payload} {
		dst = append(binary.AppendUvarint(dst, uint64(len(t))), t...)
	}
	return dst
}

// row sets r to row i; its slices lie in b.
func (b *batch) row(r *Row, i int, baseMs int64) {
	x := &b.rows[i]
	*r = Row{
		Device: x.device, DecidedMs: baseMs + int64(x.ms), Tie: x.tie, Type: x.kind & kindType, Code: x.code,
		Counted: x.kind&kindCounted != 0, LogDays: uint32(x.logDays), Size: int64(x.size), Day: uint32(x.day),
	}
	if r.isMessage() {
		r.Up, r.Down, r.Used = x.up, x.down, x.up+x.down
	} else {
		r.Used = x.up
	}
	if x.kind&kindExtra != 0 {
		c := column{b: b.texts[x.text-1:]}
		flags := c.byte()
		r.IsCut = flags&textsCut != 0
		if flags&textsWouldDeny != 0 {
			r.WouldDeny = c.byte()
		}
		if flags&textsRequested != 0 {
			r.Requested, r.TopupAvailable = uint32(c.uvarint()), c.uvarint()
		}
		if flags&textsQuota != 0 {
			r.Quota = Quota{
				Limit: uint32(c.uvarint()), Used: uint32(c.uvarint()), ResetsAtMs: r.DecidedMs + c.varint(),
			}
		}
		r.Size |= int64(c.uvarint() << 32)
		r.Denied, r.TimeMs = c.uvarint(), c.varint()
		for _, t := range []*[]byte{&r.Name, &r.ID, &r.Topic, &r.Payload} {
			if n := c.uvarint(); n > 0 {
				*t = c.bytes(n)
			}
		}
	}
}

// full reports whether the last batch is to be ordered. It is asked between groups, so that a group's rows of one
// device stand in one batch.
func (m *Memory) full() bool {
	if len(m.batches) == 0 {
		return false
	}
	b := &m.batches[len(m.batches)-1]
	return b.packed == nil && (len(b.rows) >= batchRows || len(b.texts) >= batchBytes)
}

// overlong reports whether the last batch takes no more, whatever comes.
func (m *Memory) overlong() bool {
	if len(m.batches) == 0 {
		return false
	}
	b := &m.batches[len(m.batches)-1]
	return b.packed == nil && (len(b.rows) >= batchRowsMax || len(b.texts) >= 1<<31)
}

// bytes is about what the rows take.
func (m *Memory) bytes() int {
	if len(m.batches) == 0 {
		return 0
	}
	b := &m.batches[len(m.batches)-1]
	return m.size + len(b.rows)*memoryRowBytes + len(b.texts)
}

// ordered returns b in the order of devices and places. product says whose an ordinal is; it is asked in the order of
// ordinals, once for each device.
func (m *Memory) ordered(b *batch, product func(ordinal uint64) uint32) batch {
	const rowBits, deviceMask = 24, 1<<(ordinalBits+1) - 1
	keys := m.scratch[:0]
	for i := range b.rows {
		keys = append(keys, uint64(b.rows[i].device)&deviceMask<<rowBits|uint64(i))
	}
	m.other = slices.Grow(m.other[:0], len(keys))[:len(keys)]
	keys, m.other = radixSort(keys, m.other, rowBits)
	m.scratch = keys
	out := batch{rows: m.sorted[:0], texts: b.texts}
	for _, k := range keys {
		out.rows = append(out.rows, b.rows[k&(1<<rowBits-1)])
	}
	m.sorted = out.rows
	several, last := false, uint32(0)
	for from := 0; from < len(out.rows); {
		to := from + 1
		for to < len(out.rows) && out.rows[to].device&deviceMask == out.rows[from].device&deviceMask {
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
			out.rows[i].logDays = b.daysOf(out.rows[i].device)
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

// radixSort sorts keys by their bits from `low` on, of which ordinalBits+1 are set at most, and keeps the order of
// equal ones. It returns the sorted slice and the other one.
func radixSort(keys, other []uint64, low uint) (sorted, rest []uint64) {
	const digitBits, digits = 10, 1 << 10
	for shift := low; shift < low+ordinalBits+1; shift += digitBits {
		var count [digits]int
		for _, k := range keys {
			count[k>>shift&(digits-1)]++
		}
		if len(keys) > 0 && count[keys[0]>>shift&(digits-1)] == len(keys) {
			continue
		}
		at := 0
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

// each calls fn for all rows in the order of devices and places. All batches are ordered.
func (m *Memory) each(fn func(*Row) error) error {
	readers := make([]rowReader, len(m.batches))
	for i := range m.batches {
		readers[i] = &packedReader{p: m.batches[i].packed}
	}
	var order Orders
	return merged(readers, func(r *Row) error {
		order.Number(r)
		return fn(r)
	})
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
func (o *Orders) Number(r *Row) {
	if o.begun && r.Device == o.device && r.DecidedMs == o.ms && r.Tie == o.tie {
		o.order = min(o.order+1, orderMax)
	} else {
		*o = Orders{device: r.Device, ms: r.DecidedMs, tie: r.Tie, begun: true}
	}
	r.Order = o.order
}

// daysOf returns the log days that the rows of a device were decided under.
func (b *batch) daysOf(d Device) uint16 { return uint16(min(b.days[d.Product()], 1<<16-1)) }

// of returns the rows of a device in a batch that is gathered, by their places.
func (b *batch) of(d Device) []memoryRow {
	want := d
	if d.IsKnown() {
		want = Known(0, d.Ordinal())
	}
	var rows []memoryRow
	for i := range b.rows {
		if b.rows[i].device == want {
			rows = append(rows, b.rows[i])
			rows[len(rows)-1].device = d
			rows[len(rows)-1].logDays = b.daysOf(d)
		}
	}
	settle(rows)
	return rows
}
