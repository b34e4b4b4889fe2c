package record

import (
	"encoding/binary"

	"github.com/meterd/meterd/event"
)

// Builder gathers the records of one lane. It is not safe for concurrent use. Its methods run inside the gate, once an
// event: they only append to memory that is kept from group to group. Budget: 10 ns an accepted message.
type Builder struct {
	cols [columns][]byte
	rows int

	batchAt   int // where the running batch begins in rows; its row count is written when it ends
	batchOpen bool
	lastMs    int64
	ordinals  []byte // ordinals row by row, little-endian; Finish turns them into planes
	day       uint32
	dayRun    uint64
}

// Rows returns the number of rows gathered since the last Finish.
func (b *Builder) Rows() int { return b.rows }

// Bytes returns about how many bytes a Finish would return now.
func (b *Builder) Bytes() int {
	n := len(b.ordinals)
	for i := range b.cols {
		n += len(b.cols[i])
	}
	return n
}

// Empty reports whether nothing was gathered since the last Finish: neither rows nor effects nor bindings.
func (b *Builder) Empty() bool {
	return b.rows == 0 && len(b.cols[colEffects]) == 0 && len(b.cols[colBindings]) == 0
}

func (b *Builder) putUvarint(col int, v uint64) {
	if v < 0x80 {
		b.cols[col] = append(b.cols[col], byte(v))
		return
	}
	b.cols[col] = binary.AppendUvarint(b.cols[col], v)
}

func (b *Builder) putString(col int, s []byte) {
	b.putUvarint(col, uint64(len(s)))
	b.cols[col] = append(b.cols[col], s...)
}

// BeginBatch starts the rows of one request, decided at decidedMs for producer holder (0: none).
func (b *Builder) BeginBatch(decidedMs int64, holder uint32) {
	b.EndBatch()
	b.cols[colBatches] = binary.AppendVarint(b.cols[colBatches], decidedMs-b.lastMs)
	b.putUvarint(colBatches, uint64(holder))
	b.lastMs = decidedMs
	b.batchAt, b.batchOpen = b.rows, true
}

// EndBatch ends the rows of a request. BeginBatch and Finish do it too.
func (b *Builder) EndBatch() {
	if b.batchOpen {
		b.putUvarint(colBatches, uint64(b.rows-b.batchAt))
		b.batchOpen = false
	}
}

// device appends the row's kind and ordinal.
func (b *Builder) device(kind byte, ordinal uint64) {
	b.cols[colKinds] = append(b.cols[colKinds], kind)
	b.ordinals = append(
		b.ordinals,
		byte(ordinal>>32),
		byte(ordinal>>24),
		byte(ordinal>>16),
		byte(ordinal>>8),
		byte(ordinal),
	)
	b.rows++
}

// Message adds an accepted message of a known device: up and down are its units of the day after it.
func (b *Builder) Message(t event.Type, ordinal uint64, size int64, day, up, down uint32) {
	b.device(byte(t), ordinal)
	b.putUvarint(colSizes, uint64(size))
	if day != b.day {
		b.flushDay()
		b.day = day
	}
	b.dayRun++
	b.putUvarint(colUps, uint64(up))
	b.putUvarint(colDowns, uint64(down))
}

func (b *Builder) flushDay() {
	if b.dayRun > 0 {
		b.putUvarint(colDays, b.dayRun)
		b.putUvarint(colDays, uint64(b.day))
		b.dayRun = 0
	}
}

// Other adds an accepted event of a known device that is no message; used is what its log entry shows as the day's use.
func (b *Builder) Other(t event.Type, ordinal uint64, size int64, used uint32) {
	b.device(byte(t), ordinal)
	b.putUvarint(colSizes, uint64(size))
	b.putUvarint(colUsed, uint64(used))
}

// Denied adds a denied event of a known device.
func (b *Builder) Denied(t event.Type, code event.Code, ordinal uint64, size int64, used uint32) {
	b.device(byte(t)|kindDenied, ordinal)
	b.cols[colCodes] = append(b.cols[colCodes], byte(code))
	b.putUvarint(colSizes, uint64(size))
	b.putUvarint(colUsed, uint64(used))
}

// DeniedMessage adds a message that the quota denied: denied is the count of the device's denials on day after it
// (R11).
func (b *Builder) DeniedMessage(t event.Type, ordinal uint64, size int64, used, day uint32, denied uint64) {
	b.device(byte(t)|kindDenied|kindCounted, ordinal)
	b.cols[colCodes] = append(b.cols[colCodes], byte(event.MessageQuotaExceeded))
	b.putUvarint(colSizes, uint64(size))
	b.putUvarint(colUsed, uint64(used))
	b.putUvarint(colDenied, uint64(day))
	b.putUvarint(colDenied, denied)
}

// Stranger adds an event of a device that is not known: its name stands in full, for nothing that lasts is kept of it
// (R11).
func (b *Builder) Stranger(t event.Type, code event.Code, product uint32, name []byte, size int64) {
	kind := byte(t) | kindNamed
	if code != event.Accepted {
		kind |= kindDenied
		b.cols[colCodes] = append(b.cols[colCodes], byte(code))
	}
	b.cols[colKinds] = append(b.cols[colKinds], kind)
	b.putUvarint(colSizes, uint64(size))
	b.putUvarint(colNames, uint64(product))
	b.putString(colNames, name)
	b.rows++
}

// Attach adds to the last row what only the raw log keeps. Denied events are logged without payload (R18): the caller
// passes none.
func (b *Builder) Attach(id, topic, payload []byte, timeMs int64) {
	kind := &b.cols[colKinds][b.rows-1]
	var flags byte
	if len(id) > 0 {
		flags |= extraID
	}
	if len(topic) > 0 {
		flags |= extraTopic
	}
	if timeMs != 0 {
		flags |= extraTime
	}
	if flags != 0 {
		*kind |= kindExtra
		b.cols[colExtras] = append(b.cols[colExtras], flags)
		if flags&extraID != 0 {
			b.putString(colExtras, id)
		}
		if flags&extraTopic != 0 {
			b.putString(colExtras, topic)
		}
		if flags&extraTime != 0 {
			b.cols[colExtras] = binary.AppendVarint(b.cols[colExtras], timeMs-b.lastMs)
		}
	}
	if len(payload) > 0 {
		*kind |= kindPayload
		b.putString(colPayloads, payload)
	}
}

// Finish appends the raw chunk to dst and empties b, which keeps its memory.
func (b *Builder) Finish(dst []byte) []byte {
	b.EndBatch()
	b.flushDay()
	b.splitPlanes()
	dst = append(dst, Version)
	dst = binary.AppendUvarint(dst, uint64(b.rows))
	for i := range b.cols {
		dst = binary.AppendUvarint(dst, uint64(len(b.cols[i])))
	}
	for i := range b.cols {
		dst = append(dst, b.cols[i]...)
	}
	b.Reset()
	return dst
}

// splitPlanes turns the ordinals into one plane a byte: the high ones hardly differ and cost nothing compressed.
func (b *Builder) splitPlanes() {
	n := len(b.ordinals) / ordinalBytes
	for p := range ordinalBytes {
		plane := b.cols[colShards+p][:0]
		for i := range n {
			plane = append(plane, b.ordinals[i*ordinalBytes+p])
		}
		b.cols[colShards+p] = plane
	}
}

// Reset drops what was gathered and keeps the memory, unless a huge batch made it far larger than usual.
func (b *Builder) Reset() {
	for i := range b.cols {
		if cap(b.cols[i]) > columnBytesKept {
			b.cols[i] = nil
		}
		b.cols[i] = b.cols[i][:0]
	}
	b.ordinals = b.ordinals[:0]
	b.rows, b.batchAt, b.batchOpen, b.lastMs = 0, 0, false, 0
	b.day, b.dayRun = 0, 0
}
