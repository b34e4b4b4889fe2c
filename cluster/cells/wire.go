package cells

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/meterd/meterd/event"
)

// version is the first byte of every call and of every answer.
const version = 1

// errCall means that a call or an answer is not what it claims to be.
var errCall = errors.New("a call between nodes is damaged, or of another version")

// writer appends what FORMAT.md draws.
type writer struct{ b []byte }

func (w *writer) byte(c byte)    { w.b = append(w.b, c) }
func (w *writer) uint(n uint64)  { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) int(n int64)    { w.b = binary.AppendVarint(w.b, n) }
func (w *writer) fixed(p []byte) { w.b = append(w.b, p...) }

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) bytes(p []byte) {
	w.uint(uint64(len(p)))
	w.b = append(w.b, p...)
}

func (w *writer) bool(v bool) {
	if v {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

// reader takes values from the front of a call. After the first that is not there all are zero, and isBad is true. What
// it returns lies in the call.
type reader struct {
	b     []byte
	at    int
	isBad bool
}

func (r *reader) bad() {
	r.isBad = true
	r.at = len(r.b)
}

func (r *reader) byte() byte {
	if r.at >= len(r.b) {
		r.bad()
		return 0
	}
	r.at++
	return r.b[r.at-1]
}

func (r *reader) bool() bool { return r.byte() != 0 }

func (r *reader) uint() uint64 {
	n, size := binary.Uvarint(r.b[r.at:])
	if size <= 0 {
		r.bad()
		return 0
	}
	r.at += size
	return n
}

func (r *reader) int() int64 {
	n := r.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// ref takes a text, and returns where it lies.
func (r *reader) ref(most int) event.Ref {
	n := r.uint()
	if n > uint64(most) || n > uint64(len(r.b)-r.at) {
		r.bad()
		return event.Ref{}
	}
	if n == 0 {
		return event.Ref{}
	}
	at := event.Ref{Off: uint32(r.at), Len: uint32(n)}
	r.at += int(n)
	return at
}

func (r *reader) bytes(most int) []byte {
	at := r.ref(most)
	return r.b[at.Off : at.Off+at.Len : at.Off+at.Len]
}

func (r *reader) text(most int) string { return string(r.bytes(most)) }

// fixed fills p.
func (r *reader) fixed(p []byte) {
	if len(p) > len(r.b)-r.at {
		r.bad()
		return
	}
	r.at += copy(p, r.b[r.at:])
}

// count takes the length of a list whose entries have at least one byte each.
func (r *reader) count(most int) int {
	n := r.uint()
	if n > uint64(most) || n > uint64(len(r.b)-r.at) {
		r.bad()
		return 0
	}
	return int(n)
}

// end returns what the call came to.
func (r *reader) end() error {
	if r.isBad || r.at != len(r.b) {
		return errCall
	}
	return nil
}

// begin takes the version.
func begin(b []byte) *reader {
	r := &reader{b: b, isBad: len(b) > math.MaxUint32}
	if r.byte() != version {
		r.bad()
	}
	return r
}

// What an event of a batch has.
const (
	hasProduct = 1 << iota // another product than the event before
	hasID
	hasTopic
	hasPayload
	hasTime
	hasFault
	hasOrigin
	hasUnknown // a later version's
)

// bits has bit n set if the n-th is true.
func bits(list ...bool) (b byte) {
	for n, is := range list {
		if is {
			b |= 1 << n
		}
	}
	return b
}

// batch appends the events of b at indexes, nil: all of them.
func (w *writer) batch(b *event.Batch, indexes []int32) {
	n := len(b.Events)
	if indexes != nil {
		n = len(indexes)
	}
	w.b = slices.Grow(w.b, len(b.Data)*n/max(1, len(b.Events))+eventBytes*n)
	w.uint(uint64(n))
	w.bool(len(b.Origins) > 0)
	product := event.Ref{}
	for i := range n {
		if indexes != nil {
			i = int(indexes[i])
		}
		e, o := &b.Events[i], event.Origin{}
		if len(b.Origins) > 0 {
			o = b.Origins[i]
		}
		isNew := e.Product != product && string(b.Bytes(e.Product)) != string(b.Bytes(product))
		product = e.Product
		w.event(b, e, &o, isNew)
	}
}

func (w *writer) event(b *event.Batch, e *event.Event, o *event.Origin, isNew bool) {
	has := bits(
		isNew, e.ID.Len > 0, e.Topic.Len > 0, e.Payload.Len > 0, e.TimeMs != 0, e.Fault != event.FaultNone, o.ID.Len > 0,
	)
	w.byte(has)
	w.byte(byte(e.Type))
	w.bytes(b.Bytes(e.Device))
	w.int(e.Size)
	text := func(bit byte, r event.Ref) {
		if has&bit != 0 {
			w.bytes(b.Bytes(r))
		}
	}
	text(hasProduct, e.Product)
	text(hasID, e.ID)
	text(hasTopic, e.Topic)
	text(hasPayload, e.Payload)
	if has&hasTime != 0 {
		w.int(e.TimeMs)
	}
	if has&hasFault != 0 {
		w.byte(byte(e.Fault))
	}
	text(hasOrigin, o.Source)
	text(hasOrigin, o.ID)
}

// batch makes b the batch that r has. b's Data becomes what is read: nobody may change that while b is used.
func (r *reader) batch(b *event.Batch) {
	b.Data, b.Events, b.Origins = r.b, b.Events[:0], b.Origins[:0]
	n, hasOrigins := r.count(event.EventsMax), r.bool()
	product := event.Ref{}
	for range n {
		has := r.byte()
		e := event.Event{Type: event.Type(r.byte()), Device: r.ref(event.NameBytesMax), Size: r.int()}
		if has&hasProduct != 0 {
			product = r.ref(event.NameBytesMax)
		}
		e.Product = product
		if has&hasID != 0 {
			e.ID = r.ref(event.NameBytesMax)
		}
		if has&hasTopic != 0 {
			e.Topic = r.ref(event.TopicBytesMax)
		}
		if has&hasPayload != 0 {
			e.Payload = r.ref(event.PayloadBytesMax)
		}
		if has&hasTime != 0 {
			e.TimeMs = r.int()
		}
		if has&hasFault != 0 {
			e.Fault = event.Fault(r.byte())
		}
		var o event.Origin
		if has&hasOrigin != 0 {
			o = event.Origin{Source: r.ref(math.MaxInt32), ID: r.ref(math.MaxInt32)}
		}
		if has >= hasUnknown || !isSound(&e) {
			r.bad()
		}
		if r.isBad {
			return
		}
		b.Events = append(b.Events, e)
		if hasOrigins {
			b.Origins = append(b.Origins, o)
		}
	}
}

// isSound reports whether a decoder of package wire could have made the event.
func isSound(e *event.Event) bool {
	if e.Fault != event.FaultNone && e.Fault != event.FaultPayloadTooLarge {
		return e.Fault < event.Faults && e.Type < event.Types
	}
	return e.Type > 0 && e.Type < event.Types && e.Product.Len > 0 && e.Device.Len > 0 &&
		e.Size >= 0 && e.Size <= event.OTABytesMax
}
