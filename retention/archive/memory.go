package archive

import (
	"encoding/binary"
)

// memoryRow is a row that waits in memory to be written. It has no pointers, so the collector does not look at it.
type memoryRow struct {
	device  Device // product 0 and no logDays until its batch is ordered
	ms      uint32 // since the memory's base, the lowest bits
	tie     uint32
	size    uint32
	up      uint32 // of an accepted message; Used of others
	down    uint32
	text    uint32 // where its texts lie, plus one; 0: it has none
	day     uint16
	logDays uint16
	msHigh  uint16 // the highest bits: rows that are merged may lie years apart
	kind    uint8  // as in a block; kindExtra says that it has texts
	code    uint8
}

// sinceMs returns when the row was decided, since its base.
func (x *memoryRow) sinceMs() int64 { return int64(x.msHigh)<<32 | int64(x.ms) }

// isBare reports whether the row is an accepted message of a known device that has nothing but numbers.
func (x *memoryRow) isBare() bool {
	return (x.kind == typeUp || x.kind == typeDown) && x.device.IsKnown()
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
	sorting sorting
	block   block
	raw     []byte
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
	m.gathered(days).add(r, m.baseMs)
	m.rows++
}

// gathered returns the batch that is gathered.
func (m *Memory) gathered(days map[uint32]uint32) *batch {
	if len(m.batches) == 0 || m.batches[len(m.batches)-1].packed != nil {
		m.batches = append(m.batches, batch{rows: make([]memoryRow, 0, batchRows+batchRowsMore), days: days})
	}
	return &m.batches[len(m.batches)-1]
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
		device: r.Device, ms: uint32(r.DecidedMs - baseMs), msHigh: uint16((r.DecidedMs - baseMs) >> 32),
		tie: r.Tie, size: uint32(r.Size), up: r.Up, down: r.Down,
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
		Device: x.device, DecidedMs: baseMs + x.sinceMs(), Tie: x.tie, Type: x.kind & kindType, Code: x.code,
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

// each calls fn for all rows in the order of devices and places, many at a time. All batches are ordered.
func (m *Memory) each(fn func(*batch) error) error {
	lists := make([]blockList, len(m.batches))
	for i := range m.batches {
		lists[i] = &packedReader{p: m.batches[i].packed}
	}
	return merged(lists, m.baseMs, fn)
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
