package wire

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
)

// Hot path, with jsonevent.go, jsonjudge.go and jsonstring.go: one pass over the body, an event a line or element.
// Budget: 250 ns for an event without payload on one core (4 M events/s), and no allocation once the Batch is warm.
// BenchmarkDecode on a Xeon at 2.6 GHz: 40 ns where all lines are alike, 90 ns where no two neighbours are.
//
// The body is copied into the Batch before it is read. That costs 1.3 ns an event, 3 ns with 64 bytes of payload and 36
// ns with 1 KiB (BenchmarkCopy), and buys three things: the bytes behind the body are ours, so eight bytes may be
// loaded at any position without asking where the end is; unescaped strings go behind the body without allocating,
// where a borrowed body would have to be copied into fresh memory at the first escape of every batch; and a Batch that
// is reset and reused never writes into memory that somebody lent it.

// jsonPad follows the body. A zero byte ends every loop of the decoder: it is no digit, no white space, no byte of a
// name, and a string may not hold it. So no loop gets past the first one, and eight of them let a word be loaded at the
// place where a loop stopped.
const jsonPad = "\x00\x00\x00\x00\x00\x00\x00\x00"

// decoder reads one body. Its methods take the position to read at and return the one behind what they read, or -1
// after fail.
type decoder struct {
	src   []byte // the body and its padding
	end   int    // where the padding begins
	lines bool   // NDJSON: a line feed ends the value, it is no white space within it
	batch *event.Batch

	isCloud bool // events are CloudEvents (cloudevents.go)
	cloud   cloudMembers

	ev        *event.Event // the event being read
	seen, odd fieldSet     // its members that are there, and those among them that judge must look at again
	spans     [fields]span

	failedAt int
	wanted   string // what was expected at failedAt
	field    field  // the member that failed, fieldUnknown if it is none of ours
	tooMany  bool   // more than EventsMax
}

// DecodeNDJSON makes b the batch that body holds, an event a line. Lines end in LF or CRLF, the last one may lack its
// end, blank ones are skipped.
//
// A body that is not what it claims to be (a line that is not JSON, is cut off, is not UTF-8, or has something behind
// its value; no event at all; more than EventsMax) is refused whole: the Problem says where, and b's content is
// undefined until its next Reset or Decode. A line that is JSON but no valid event becomes an Event with a Fault.
//
// body is only read, and only until DecodeNDJSON returns. What b held before is overwritten, its memory is reused.
func DecodeNDJSON(b *event.Batch, body []byte) *event.Problem {
	d, p := newDecoder(b, body)
	if p != nil {
		return p
	}
	d.lines = true
	for i := d.space(0); i < d.end; i = d.space(i) {
		if d.src[i] == '\n' {
			i++
			continue
		}
		if i = d.event(i); i < 0 {
			return d.problem()
		}
		if i = d.space(i); i < d.end && d.src[i] != '\n' {
			d.fail(i, "the end of the line")
			return d.problem()
		}
	}
	if len(b.Events) == 0 {
		return &event.Problem{Code: event.BadRequest, Detail: "the body holds no event"}
	}
	return nil
}

// DecodeJSON makes b the batch that body holds: an array of events, or one event, which single reports. A value that is
// neither is one event with FaultNotObject. All else is as with DecodeNDJSON; an empty array is a batch of no events.
func DecodeJSON(b *event.Batch, body []byte) (single bool, p *event.Problem) {
	d, p := newDecoder(b, body)
	if p != nil {
		return false, p
	}
	i := d.space(0)
	if i == d.end {
		return false, &event.Problem{Code: event.BadRequest, Detail: "the body holds no event"}
	}
	single = d.src[i] != '['
	if single {
		i = d.event(i)
	} else {
		i = d.array(i + 1)
	}
	if i >= 0 {
		if i = d.space(i); i < d.end {
			i = d.fail(i, "the end of the body")
		}
	}
	if i < 0 {
		return single, d.problem()
	}
	return single, nil
}

// newDecoder copies body into b. Offsets fit their 32 bits because a body is at most BodyBytesMax and what is decoded
// behind it is never longer than it was in the body, twice at most (an escaped payload_base64).
func newDecoder(b *event.Batch, body []byte) (decoder, *event.Problem) {
	if len(body) > event.BodyBytesMax {
		return decoder{}, &event.Problem{
			Code:   event.BodyTooLarge,
			Detail: fmt.Sprintf("the body has %d bytes, at most %d are taken", len(body), event.BodyBytesMax),
		}
	}
	b.Events, b.Origins = b.Events[:0], b.Origins[:0]
	b.Data = append(slices.Grow(b.Data[:0], len(body)+len(jsonPad)), body...)
	b.Data = append(b.Data, jsonPad...)
	return decoder{batch: b, src: b.Data, end: len(body)}, nil
}

// array reads the elements behind the bracket that opens the batch.
func (d *decoder) array(i int) int {
	if i = d.space(i); d.src[i] == ']' {
		return i + 1
	}
	for {
		if i = d.event(i); i < 0 {
			return -1
		}
		i = d.space(i)
		switch d.src[i] {
		case ',':
			i = d.space(i + 1)
		case ']':
			return i + 1
		default:
			return d.fail(i, "a comma or the end of the array")
		}
	}
}

// event reads the value at i as the batch's next event.
func (d *decoder) event(i int) int {
	b := d.batch
	n := len(b.Events)
	if n == event.EventsMax {
		d.tooMany = true
		return d.fail(i, "no more events")
	}
	b.Events = append(b.Events, event.Event{})
	if d.isCloud {
		b.Origins = append(b.Origins, event.Origin{})
	}
	d.ev = &b.Events[n]
	if d.src[i] == '{' {
		if d.isCloud {
			return d.cloudEvent(i + 1)
		}
		return d.object(i + 1)
	}
	d.ev.Fault = event.FaultNotObject
	return d.skip(i)
}

// space returns the position of the first byte at or behind i that is no white space.
func (d *decoder) space(i int) int {
	if d.src[i] > ' ' {
		return i
	}
	return d.spaceOn(i)
}

func (d *decoder) spaceOn(i int) int {
	for {
		switch d.src[i] {
		case ' ', '\t', '\r':
		case '\n':
			if d.lines {
				return i
			}
		default:
			return i
		}
		i++
	}
}

// fail notes that something else than wanted stands at i, and returns -1.
func (d *decoder) fail(i int, wanted string) int {
	d.failedAt, d.wanted = i, wanted
	return -1
}

// problem says what fail noted. Lines are counted only now, where good bodies pay nothing for it.
func (d *decoder) problem() *event.Problem {
	before := d.src[:d.failedAt]
	p := &event.Problem{Code: event.BadRequest, Field: fieldNames[d.field], Line: 1 + bytes.Count(before, []byte{'\n'})}
	if d.tooMany {
		p.Code = event.BodyTooLarge
		p.Detail = fmt.Sprintf("line %d: a batch has at most %d events", p.Line, event.EventsMax)
		return p
	}
	p.Detail = fmt.Sprintf("line %d, byte %d: expected %s, found %s",
		p.Line, d.failedAt-bytes.LastIndexByte(before, '\n'), d.wanted, d.found())
	return p
}

func (d *decoder) found() string {
	c := d.src[d.failedAt]
	switch {
	case d.failedAt >= d.end:
		return "the end of the body"
	case c == '\n' && d.lines:
		return "the end of the line"
	case c < ' ' || c > '~':
		return fmt.Sprintf("the byte 0x%02x", c)
	}
	return string(rune(c))
}
