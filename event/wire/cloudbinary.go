package wire

import (
	"bytes"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/event"
)

// CloudEvents in the binary content mode of the HTTP binding
// (github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md): the attributes are header
// fields, the body is the data.
//
//	ce-specversion: 1.0                 Content-Type: application/json
//	ce-type: io.meterd.up
//	ce-source: /gw/7                    {"size":120,"topic":"t","payload":"…"}
//	ce-id: 8a1f
//	ce-subject: p1/d1
//
// JSON is the data as in the other mode. A body of any other Content-Type is the payload itself.

// CloudHeaders are the header fields of a CloudEvent in binary mode as they stand in its request; nil are those that
// are not there.
type CloudHeaders struct {
	SpecVersion, Type, Source, ID, Subject, Time []byte
	ContentType                                  []byte // of the data
}

// Hash returns a hash of all fields.
func (h *CloudHeaders) Hash(seed uint64) uint64 {
	for _, v := range [...][]byte{h.SpecVersion, h.Type, h.Source, h.ID, h.Subject, h.Time, h.ContentType} {
		seed = xxh3.HashSeed(v, seed)
	}
	return seed
}

// DecodeCloudBinary makes b the batch of one event, whose data body holds. All else is as with DecodeCloudEvent: data
// that is no object is one event with a Fault, and what is to be JSON and is none is refused.
func DecodeCloudBinary(b *event.Batch, h *CloudHeaders, body []byte) *event.Problem {
	d, p := newDecoder(b, body)
	if p != nil {
		return p
	}
	b.Events, b.Origins = append(b.Events, event.Event{}), append(b.Origins, event.Origin{})
	d.ev = &b.Events[0]
	if isJSON(h.ContentType) {
		if d.binaryJSON() < 0 {
			return d.problem()
		}
	} else {
		d.binaryPayload()
	}
	d.binaryHeaders(h)
	d.judgeCloud()
	return nil
}

// isJSON reports whether a media type is one of JSON.
func isJSON(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte{';'})
	kind = bytes.ToLower(bytes.TrimSpace(kind))
	return string(kind) == "application/json" || string(kind) == "text/json" || bytes.HasSuffix(kind, []byte("+json"))
}

// binaryJSON reads the body as data in JSON; an empty one is none.
func (d *decoder) binaryJSON() int {
	i := d.space(0)
	if i == d.end {
		return i
	}
	if i = d.dataValue(i); i < 0 {
		return -1
	}
	if i = d.space(i); i < d.end {
		return d.fail(i, "the end of the body")
	}
	return i
}

// binaryPayload takes the body as the payload; an empty one is none.
func (d *decoder) binaryPayload() {
	switch {
	case d.end > event.PayloadBytesMax:
		d.note(fieldPayload, spanPlain, 0, d.end)
	case d.end > 0:
		d.ev.Payload = event.Ref{Len: uint32(d.end)}
		d.plain(fieldPayload)
	}
}

// binaryHeaders takes the attributes.
func (d *decoder) binaryHeaders(h *CloudHeaders) {
	b := d.batch
	if string(b.Bytes(d.header(h.SpecVersion))) == "1.0" {
		d.cloud.version = cloudTaken
	}
	if h.Type != nil {
		d.takeCloudType(b.Bytes(d.header(h.Type)))
	}
	if h.Subject != nil {
		d.cloud.subject = d.takeSubject(d.header(h.Subject))
	}
	d.cloud.source = d.header(h.Source)
	if h.ID != nil {
		if d.ev.ID = d.header(h.ID); event.ValidName(b.Bytes(d.ev.ID)) {
			d.plain(fieldID)
		} else {
			d.note(fieldID, spanPlain, int(d.ev.ID.Off), int(d.ev.ID.Off+d.ev.ID.Len))
		}
	}
	if h.Time != nil {
		var ok bool
		if d.ev.TimeMs, ok = event.ParseTime(b.Bytes(d.header(h.Time))); ok {
			d.plain(fieldTime)
		} else {
			d.note(fieldTime, spanOther, 0, 0)
		}
	}
}

// header appends to the batch what a header field's value stands for: a quoted string is what is between its quotes,
// and then every %XX is a byte. A percent sign that begins no byte stays, and no attribute of ours may hold one.
func (d *decoder) header(value []byte) event.Ref {
	b := d.batch
	from := len(b.Data)
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		for i := 1; i < n-1; i++ {
			if value[i] == '\\' && i+1 < n-1 {
				i++
			}
			b.Data = append(b.Data, value[i])
		}
	} else {
		b.Data = append(b.Data, value...)
	}
	text := b.Data[from:]
	n := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c == '%' && i+2 < len(text) {
			if v := hexDigit(text[i+1])<<4 | hexDigit(text[i+2]); v >= 0 {
				c = byte(v)
				i += 2
			}
		}
		text[n] = c
		n++
	}
	b.Data = b.Data[:from+n]
	return event.Ref{Off: uint32(from), Len: uint32(n)}
}
