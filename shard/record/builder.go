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
	quota     quotaRun
	quotaRows uint64
	quotas    quotaTable
	resetsMs  int64 // of the numbers that colQuotas has last
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

// Denied adds an event of a known device that no quota denied.
func (b *Builder) Denied(t event.Type, code event.Code, ordinal uint64, size int64, used uint32) {
	if code.IsQuota() {
		panic("BUG: a quota's denial without its numbers")
	}
	b.denied(byte(t)|kindDenied, code, ordinal, size, used)
}

func (b *Builder) denied(kind byte, code event.Code, ordinal uint64, size int64, used uint32) {
	b.device(kind, ordinal)
	b.cols[colCodes] = append(b.cols[colCodes], byte(code))
	b.putUvarint(colSizes, uint64(size))
	b.putUvarint(colUsed, uint64(used))
}

// QuotaNumbers are what the answer to an event said about the quota that denied it.
type QuotaNumbers struct {
	Limit      uint32
	Used       uint32 // units
	ResetsAtMs int64  // Unix milliseconds, 0 for none
}

// DeniedMessage adds a message that the quota denied: denied is the count of the device's denials on day after it
// (R11). Its log entry shows q.Used as the day's use.
func (b *Builder) DeniedMessage(t event.Type, ordinal uint64, size int64, q QuotaNumbers, day uint32, denied uint64) {
	b.denied(byte(t)|kindDenied|kindCounted, event.MessageQuotaExceeded, ordinal, size, q.Used)
	b.putUvarint(colDenied, uint64(day))
	b.putUvarint(colDenied, denied)
	b.numbers(q, q.Used)
}

// DeniedUpgrade adds an OTA, or the void of one, that the quota of a month denied; used is what its log entry shows as
// the day's use.
func (b *Builder) DeniedUpgrade(t event.Type, ordinal uint64, size int64, used uint32, q QuotaNumbers) {
	b.denied(byte(t)|kindDenied, event.OTAQuotaExceeded, ordinal, size, used)
	b.numbers(q, used)
}

// quotaTable is what a writer and a reader of colQuotas remember: rows of a few products are mixed in a request, and
// each of their numbers is written once.
type quotaTable [quotaPlaces]quotaRun

// place returns where the writer puts a run: any other choice would be read too.
func (r *quotaRun) place() uint64 {
	return (uint64(r.limit) + uint64(r.more) + uint64(r.resetsMs)*31) * 0x9E3779B97F4A7C15 % (1 << 32) * quotaPlaces >> 32
}

// quotaRun is what neighbouring rows have in common: devices of one product have one limit and reset together. Of
// messages used is the day's use too, which stands in another column.
type quotaRun struct {
	limit    uint32
	more     int64 // used, less the row's day's use
	resetsMs int64
}

// numbers adds the last row to the run of those with the same numbers. used is the row's day's use.
func (b *Builder) numbers(q QuotaNumbers, used uint32) {
	if run := (quotaRun{q.Limit, int64(q.Used) - int64(used), q.ResetsAtMs}); run != b.quota {
		b.flushQuota()
		b.quota = run
	}
	b.quotaRows++
}

func (b *Builder) flushQuota() {
	if b.quotaRows == 0 {
		return
	}
	b.putUvarint(colQuotas, b.quotaRows)
	b.quotaRows = 0
	place := b.quota.place()
	if b.quotas[place] == b.quota {
		b.putUvarint(colQuotas, place<<1)
		return
	}
	b.quotas[place] = b.quota
	b.putUvarint(colQuotas, place<<1|1)
	b.putUvarint(colQuotas, uint64(b.quota.limit))
	b.cols[colQuotas] = binary.AppendVarint(b.cols[colQuotas], b.quota.more)
	b.cols[colQuotas] = binary.AppendVarint(b.cols[colQuotas], b.quota.resetsMs-b.resetsMs)
	b.resetsMs = b.quota.resetsMs
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

// Extras are what only the raw log keeps of an event.
type Extras struct {
	ID, Topic []byte
	// Payload is as much as is to be kept of it: nothing of a denied event's (R18).
	Payload []byte
	IsCut   bool  // Payload is not all that was sent
	TimeMs  int64 // what the gateway claimed, 0 without
	// WouldDeny is what the quota would have denied an accepted event with, Accepted for nothing. Then Quota is what its
	// answer said of the quota, and DayUsed what its log entry shows as the day's use.
	WouldDeny event.Code
	Quota     QuotaNumbers
	DayUsed   uint32
	// Requested are the units that an upgrade needed which its quota denied or would have denied, 0 for other events, and
	// TopupAvailable what packs had left, as its answer said.
	Requested      uint32
	TopupAvailable uint64
}

// Attach adds extras to the last row. Their slices are copied.
func (b *Builder) Attach(x *Extras) {
	kind := &b.cols[colKinds][b.rows-1]
	id, topic, payload, timeMs := x.ID, x.Topic, x.Payload, x.TimeMs
	var flags byte
	if x.IsCut {
		flags |= extraCut
	}
	if len(id) > 0 {
		flags |= extraID
	}
	if len(topic) > 0 {
		flags |= extraTopic
	}
	if timeMs != 0 {
		flags |= extraTime
	}
	if x.WouldDeny != event.Accepted {
		flags |= extraWouldDeny
	}
	if x.Requested != 0 {
		flags |= extraRequested
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
		if flags&extraWouldDeny != 0 {
			b.cols[colExtras] = append(b.cols[colExtras], byte(x.WouldDeny))
			b.numbers(x.Quota, x.DayUsed)
		}
		if flags&extraRequested != 0 {
			b.putUvarint(colExtras, uint64(x.Requested))
			b.putUvarint(colExtras, x.TopupAvailable)
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
	b.flushQuota()
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
	if len(b.cols[colQuotas]) > 0 {
		b.quotas = quotaTable{}
	}
	for i := range b.cols {
		if cap(b.cols[i]) > columnBytesKept {
			b.cols[i] = nil
		}
		b.cols[i] = b.cols[i][:0]
	}
	b.ordinals = b.ordinals[:0]
	b.rows, b.batchAt, b.batchOpen, b.lastMs = 0, 0, false, 0
	b.day, b.dayRun = 0, 0
	b.quota, b.quotaRows, b.resetsMs = quotaRun{}, 0, 0
}
