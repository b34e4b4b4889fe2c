package wire

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/meterd/meterd/event"
)

// Hot path, with protobufjudge.go and protobufwire.go: a body of proto/meterd/v1/batch.proto becomes a Batch, without
// allocation once the Batch is warm. Budget: 40 ns an event that names a device of its own, on one core;
// BenchmarkDecodeProtobuf has the figures.
//
// The fields of a message may come in any order and in pieces: repeated fields unpacked, packed in several parts,
// tables behind the columns that refer to them. So one pass gathers: columns go straight into Events, entries of tables
// into Batch.Scratch, and indexes wait in the Off of the Ref that they will become. A second pass over the events puts
// the names in and judges.

// The fields of meterd.v1.Batch by their numbers.
const (
	pbProducts = 1 + iota
	pbDevices
	pbTypes
	pbSizes
	pbProductIndexes
	pbDeviceIndexes
	pbPayloads
	pbTopics
	pbTopicIndexes
	pbTimes
	pbIDs

	pbFields
)

var pbNames = [pbFields]string{
	"",
	"products",
	"devices",
	"types",
	"sizes",
	"product_indexes",
	"device_indexes",
	"payloads",
	"topics",
	"topic_indexes",
	"times_ms",
	"ids",
}

// pbTable is one of the tables of a Batch, with the field of its entries and that of its indexes.
type pbTable struct{ entries, indexes int }

// pbTables are in the order of Batch.Scratch.
var pbTables = [...]pbTable{{pbProducts, pbProductIndexes}, {pbDevices, pbDeviceIndexes}, {pbTopics, pbTopicIndexes}}

const (
	tableProducts = iota
	tableDevices
	tableTopics
)

// illOff marks, as the Off of an empty Ref, a string that is there but not allowed; an empty Ref beside it is one that
// is missing.
const illOff = math.MaxUint32

// protoReader reads one body. Like those of decoder its methods take the position to read at and return the one behind
// what they read, or -1 after fail. Zeros follow the body: one of them ends every number that is cut off.
type protoReader struct {
	batch *event.Batch
	src   []byte
	end   int
	seen  [pbFields]int // entries so far

	problem event.Problem
}

// DecodeProtobuf makes b the batch that body holds, a meterd.v1.Batch.
//
// A body that is not what it claims to be (cut off, a string that is not UTF-8, a column of another length, an index
// without an entry, no event at all, more than EventsMax) is refused whole, and b's content is undefined until its next
// Reset or Decode. An event with a name or value that is not allowed becomes an Event with a Fault.
//
// body is only read, and only until DecodeProtobuf returns. What b held before is overwritten, its memory is reused.
func DecodeProtobuf(b *event.Batch, body []byte) *event.Problem {
	if len(body) > event.BodyBytesMax {
		return &event.Problem{
			Code:   event.BodyTooLarge,
			Detail: fmt.Sprintf("the body has %d bytes, at most %d are taken", len(body), event.BodyBytesMax),
		}
	}
	b.Events, b.Origins = b.Events[:0], b.Origins[:0]
	for i := range b.Scratch.Tables {
		b.Scratch.Tables[i] = b.Scratch.Tables[i][:0]
	}
	b.Data = append(slices.Grow(b.Data[:0], len(body)+varintBytesMax), body...)
	b.Data = append(b.Data, make([]byte, varintBytesMax)...)
	r := protoReader{batch: b, src: b.Data, end: len(body)}
	for i := 0; i < r.end; {
		if i = r.field(i); i < 0 {
			return r.refusal()
		}
	}
	if !r.complete() || !r.judgeAll() {
		return r.refusal()
	}
	return nil
}

// refusal returns what fail noted, on the heap: only refused bodies pay for it.
func (r *protoReader) refusal() *event.Problem {
	p := r.problem
	p.Code = max(p.Code, event.BadRequest)
	return &p
}

// fail notes why the body is refused, and returns -1.
func (r *protoReader) fail(field int, format string, args ...any) int {
	r.problem.Detail = fmt.Sprintf(format, args...)
	if field != 0 {
		r.problem.Field = pbNames[field]
		r.problem.Detail = pbNames[field] + ": " + r.problem.Detail
	}
	return -1
}

// tooMany is fail for a batch of too many events, or a table of more entries than they could use.
func (r *protoReader) tooMany(field int) int {
	r.problem.Code = event.BodyTooLarge
	return r.fail(field, "a batch has at most %d events, and a table as many entries", event.EventsMax)
}

// field reads the field whose key is at i.
func (r *protoReader) field(i int) int {
	key, i := r.varint(i)
	if i < 0 || i > r.end || key>>3 == 0 {
		return r.fail(0, "byte %d: expected a field of meterd.v1.Batch", max(i, 0))
	}
	number, wire := int(min(key>>3, pbFields)), key&7
	if number == pbFields {
		return r.skip(wire, i)
	}
	switch number {
	case pbDevices:
		if wire == wireBytes {
			return r.devices(i)
		}
		fallthrough
	case pbProducts, pbTopics, pbPayloads, pbIDs:
		if wire != wireBytes {
			return r.fail(number, "it is a string, not of wire type %d", wire)
		}
		return r.text(number, i)
	}
	switch wire {
	case wireVarint:
		v, next := r.varint(i)
		if next < 0 || next > r.end {
			return r.fail(number, "a number is cut off")
		}
		if !r.column(number, append(r.batch.Scratch.Numbers[:0], v)) {
			return -1
		}
		return next
	case wireBytes:
		return r.packed(number, i)
	}
	return r.fail(number, "it is a number, not of wire type %d", wire)
}

// packed reads a column, or a part of one, whose length is at i.
func (r *protoReader) packed(number, i int) int {
	from, to := r.length(i)
	if to < 0 {
		return r.fail(number, "it is cut off")
	}
	numbers := r.batch.Scratch.Numbers[:0]
	for i = from; i < to; {
		v := uint64(r.src[i])
		if i++; v >= 0x80 {
			if v, i = r.varint(i - 1); i < 0 {
				return r.fail(number, "a number is too long")
			}
		}
		if len(numbers) == event.EventsMax {
			return r.tooMany(number)
		}
		numbers = append(numbers, v)
	}
	r.batch.Scratch.Numbers = numbers
	if i != to {
		return r.fail(number, "its last number is cut off")
	}
	if !r.column(number, numbers) {
		return -1
	}
	return to
}

// next makes room for n more entries of a column and returns the events that they belong to.
func (r *protoReader) next(number, n int) ([]event.Event, bool) {
	from := r.seen[number]
	to := from + n
	if to > event.EventsMax {
		r.tooMany(number)
		return nil, false
	}
	r.seen[number] = to
	b := r.batch
	if have := len(b.Events); to > have {
		b.Events = slices.Grow(b.Events, to-have)[:to]
		clear(b.Events[have:])
	}
	return b.Events[from:to], true
}

// column puts numbers into the events that they belong to.
func (r *protoReader) column(number int, numbers []uint64) bool {
	events, ok := r.next(number, len(numbers))
	if !ok {
		return false
	}
	switch number {
	case pbTypes:
		for i, v := range numbers {
			events[i].Type = event.Type(min(v, math.MaxUint8))
		}
	case pbSizes:
		for i, v := range numbers {
			events[i].Size = int64(min(v, event.OTABytesMax+1))
		}
	case pbTimes:
		for i, v := range numbers {
			events[i].TimeMs = int64(v>>1) ^ -int64(v&1)
		}
	case pbProductIndexes:
		for i, v := range numbers {
			events[i].Product.Off = uint32(min(v, math.MaxUint32))
		}
	case pbDeviceIndexes:
		for i, v := range numbers {
			events[i].Device.Off = uint32(min(v, math.MaxUint32))
		}
	case pbTopicIndexes:
		for i, v := range numbers {
			events[i].Topic.Off = uint32(min(v, math.MaxUint32))
		}
	}
	return true
}

// text reads an entry of a table, or of a column of strings, whose length is at i.
func (r *protoReader) text(number, i int) int {
	from, to := r.length(i)
	if to < 0 {
		return r.fail(number, "it is cut off")
	}
	ref := event.Ref{Off: uint32(from), Len: uint32(to - from)}
	switch number {
	case pbPayloads:
		e, ok := r.next(number, 1)
		if !ok {
			return -1
		}
		e[0].Payload = ref
		return to
	case pbTopics:
		if !r.utf8(number, from, to) {
			return -1
		}
		if ref.Len > event.TopicBytesMax {
			ref = event.Ref{Off: illOff}
		}
		return r.entry(tableTopics, ref, to)
	}
	if ref.Len == 0 {
		ref = event.Ref{}
	} else if !event.ValidName(r.src[from:to]) {
		if !r.utf8(number, from, to) {
			return -1
		}
		ref = event.Ref{Off: illOff}
	}
	switch number {
	case pbProducts:
		return r.entry(tableProducts, ref, to)
	case pbDevices:
		return r.entry(tableDevices, ref, to)
	}
	e, ok := r.next(pbIDs, 1)
	if !ok {
		return -1
	}
	e[0].ID = ref
	return to
}

// devices reads the device whose length is at i, and those that follow it at once: most batches name one for each
// event.
func (r *protoReader) devices(i int) int {
	const key = pbDevices<<3 | wireBytes
	table := r.batch.Scratch.Tables[tableDevices]
	for {
		n := int(r.src[i])
		from, to := i+1, i+1+n
		if n == 0 || n > event.NameBytesMax || to > r.end || len(table) == event.EventsMax ||
			!event.ValidName(r.src[from:to]) {
			break // text knows what is wrong with it, if anything is.
		}
		table = append(table, event.Ref{Off: uint32(from), Len: uint32(n)})
		if i = to + 1; r.src[to] != key || to == r.end {
			r.batch.Scratch.Tables[tableDevices] = table
			return to
		}
	}
	r.batch.Scratch.Tables[tableDevices] = table
	return r.text(pbDevices, i)
}

func (r *protoReader) utf8(number, from, to int) bool {
	if utf8.Valid(r.src[from:to]) {
		return true
	}
	place := r.seen[number]
	for i, t := range pbTables {
		if t.entries == number {
			place = len(r.batch.Scratch.Tables[i])
		}
	}
	r.fail(number, "entry %d is not UTF-8", place)
	return false
}

// entry adds an entry to a table and returns to, where it ends.
func (r *protoReader) entry(table int, ref event.Ref, to int) int {
	t := &r.batch.Scratch.Tables[table]
	if len(*t) == event.EventsMax {
		return r.tooMany(pbTables[table].entries)
	}
	*t = append(*t, ref)
	return to
}
