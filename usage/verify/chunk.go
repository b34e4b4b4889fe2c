package verify

import (
	"errors"
	"fmt"
)

// recordVersion is the version of chunks that is read (shard/record/FORMAT.md).
const recordVersion = 4

// The columns of a chunk that are read here.
const (
	colBindings = 0
	colBatches  = 1
	colKinds    = 2
	colCodes    = 3
	colOrdinals = 4 // five planes
	colSizes    = 9
	colDays     = 10
	colUp       = 11
	colDown     = 12
	colUsed     = 13
	colDenied   = 14
	colNames    = 15
	colExtras   = 16
	colPayloads = 17
	colEffects  = 18
	colQuotas   = 19
	columnCount = 20

	ordinalPlanes = 5
)

// The bits of a row's kind.
const (
	kindType    = 7
	kindDenied  = 1 << 3
	kindNamed   = 1 << 4
	kindExtra   = 1 << 5
	kindPayload = 1 << 6
	kindCounted = 1 << 7
)

// Types of events, and the codes that something is counted for.
const (
	typeUp   = 3
	typeDown = 4
	typeOTA  = 5
	typeVoid = 6
	typeMax  = 6

	codeMessageQuota = 1
	codeOTAQuota     = 2
)

// row is one decided event.
type row struct {
	ordinal uint64 // of a known device
	ms      int64  // when it was decided
	size    int64
	word    uint64 // of what counted: the device's word after it, as the device table packs it
	product uint32 // of a device that is not known
	kind    byte
	code    byte
	would   byte   // the code of the quota that would have denied it
	id      []byte // of an OTA or a void
	// Of an upgrade that its quota denied or would have denied: the units that it needed, and what packs had left; zeroes
	// in older records.
	requested, available uint64
}

func (r *row) typ() byte       { return r.kind & kindType }
func (r *row) isDenied() bool  { return r.kind&kindDenied != 0 }
func (r *row) isNamed() bool   { return r.kind&kindNamed != 0 }
func (r *row) isCounted() bool { return r.kind&kindCounted != 0 }

// isMessage reports whether the row is an accepted message of a known device.
func (r *row) isMessage() bool {
	return r.kind&(kindDenied|kindNamed) == 0 && (r.typ() == typeUp || r.typ() == typeDown)
}

// chunk is a chunk of a group, split into its columns; it aliases the bytes that it was decoded from.
type chunk struct {
	count int
	cols  [columnCount][]byte
}

// decodeChunk splits an inflated chunk.
func decodeChunk(raw []byte) (c chunk, err error) {
	in := input{b: raw}
	if in.u8() != recordVersion {
		return c, fmt.Errorf("chunk: it has not version %d", recordVersion)
	}
	rows := in.uvarint()
	var lengths [columnCount]uint64
	for i := range lengths {
		lengths[i] = in.uvarint()
	}
	for i, n := range lengths {
		c.cols[i] = in.take(n)
	}
	if err := in.done(); err != nil {
		return c, fmt.Errorf("chunk: %w", err)
	}
	if uint64(len(c.cols[colKinds])) != rows {
		return c, fmt.Errorf("chunk: %d kinds for %d rows", len(c.cols[colKinds]), rows)
	}
	c.count = int(rows)
	return c, nil
}

// rowReader goes through the columns of a chunk, row by row.
type rowReader struct {
	cols      [columnCount]input
	batchLeft uint64
	dayLeft   uint64
	quotaLeft uint64
	ms        int64
	day       uint64
}

// appendRows appends the rows of a chunk, in their order. Their ids alias the chunk.
func (c *chunk) appendRows(rows []row) ([]row, error) {
	var r rowReader
	for i := range c.cols {
		r.cols[i].b = c.cols[i]
	}
	for i := range c.count {
		var to row
		r.row(&to)
		rows = append(rows, to)
		if to.typ() == 0 || to.typ() > typeMax {
			return rows, fmt.Errorf("row %d has the unknown type %d", i, to.typ())
		}
		if r.cols[colBatches].err != nil { // It is asked here, for without batches rows would have no end.
			break
		}
	}
	for i := range r.cols {
		if i == colBindings || i == colEffects || i >= colOrdinals && i < colSizes && r.cols[i].err == nil {
			continue
		}
		if err := r.cols[i].err; err != nil {
			return rows, fmt.Errorf("column %d: %w", i, err)
		}
		if len(r.cols[i].b) > 0 && i != colBatches { // Batches without rows may follow.
			return rows, fmt.Errorf("column %d: bytes follow its last value", i)
		}
	}
	return rows, nil
}

func (r *rowReader) row(to *row) {
	for r.batchLeft == 0 {
		in := &r.cols[colBatches]
		r.ms += in.varint()
		in.uvarint() // The holder.
		r.batchLeft = in.uvarint()
		if in.err != nil {
			return
		}
	}
	r.batchLeft--
	to.ms = r.ms
	to.kind = r.cols[colKinds].u8()
	to.size = int64(r.cols[colSizes].uvarint())
	if to.kind&kindDenied != 0 {
		to.code = r.cols[colCodes].u8()
	}
	if to.kind&kindNamed != 0 {
		to.product = r.cols[colNames].u32()
		r.cols[colNames].text()
	} else {
		for p := range ordinalPlanes {
			to.ordinal = to.ordinal<<8 | uint64(r.cols[colOrdinals+p].u8())
		}
		r.counts(to)
	}
	if to.kind&kindExtra != 0 {
		r.extra(to)
	}
	if to.kind&kindPayload != 0 {
		r.cols[colPayloads].text()
	}
}

// counts reads what a row of a known device says about the day.
func (r *rowReader) counts(to *row) {
	switch {
	case to.isMessage():
		if r.dayLeft == 0 {
			in := &r.cols[colDays]
			r.dayLeft, r.day = in.uvarint(), in.upTo(dayMax)
			if r.dayLeft == 0 {
				in.fail(errors.New("a run of no days"))
				return
			}
		}
		r.dayLeft--
		up, down := r.cols[colUp].upTo(unitsMask), r.cols[colDown].upTo(unitsMask)
		to.word = r.day<<dayShift | up<<upShift | down
	default:
		r.cols[colUsed].uvarint()
		if to.isCounted() {
			in := &r.cols[colDenied]
			day, denied := in.upTo(dayMax), in.upTo(deniedMax)
			to.word = day<<dayShift | denied
		}
		if to.code == codeMessageQuota || to.code == codeOTAQuota {
			r.quota()
		}
	}
}

// quota goes past the numbers of the quota that denied a row or would have: nothing is recounted from them.
func (r *rowReader) quota() {
	in := &r.cols[colQuotas]
	if r.quotaLeft == 0 {
		r.quotaLeft = in.uvarint()
		if in.uvarint()&1 != 0 {
			in.uvarint() // The limit.
			in.varint()  // What was used of it, less the day's use.
			in.varint()  // When it resets, less the one before.
		}
		if r.quotaLeft == 0 {
			in.fail(errors.New("a run of no rows"))
			return
		}
	}
	r.quotaLeft--
}

func (r *rowReader) extra(to *row) {
	in := &r.cols[colExtras]
	flags := in.u8()
	if flags&1 != 0 {
		to.id = in.text()
	}
	if flags&2 != 0 {
		in.text()
	}
	if flags&4 != 0 {
		in.varint()
	}
	if flags&16 != 0 {
		to.would = in.u8()
		r.quota()
	}
	if flags&32 != 0 {
		to.requested, to.available = in.uvarint(), in.uvarint()
	}
}

// binding names a device.
type binding struct {
	ordinal uint64
	product uint32
	name    []byte
}

// appendBindings appends the devices that a chunk binds.
func (c *chunk) appendBindings(list []binding) ([]binding, error) {
	in := input{b: c.cols[colBindings]}
	for len(in.b) > 0 {
		switch kind := in.u8(); kind {
		case 1:
			list = append(list, binding{ordinal: in.upTo(ordinalMax), product: in.u32(), name: in.text()})
		case 2:
			in.uvarint()
			in.uvarint()
			in.text()
			in.varint()
		case 3:
			in.uvarint()
		default:
			return list, fmt.Errorf("bindings: unknown kind %d", kind)
		}
	}
	if in.err != nil {
		return list, fmt.Errorf("bindings: %w", in.err)
	}
	return list, nil
}
