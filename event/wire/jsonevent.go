package wire

import (
	"encoding/binary"

	"github.com/meterd/meterd/event"
)

// Hot path: an event's members. Each line of a body has the same few keys, so a key is recognised by comparing the
// eight bytes behind its quote with constants; a value that is as expected goes straight into the Event. Whatever is
// not (an escape, a wrong type, another key) takes the general way, which is correct for all of JSON.

// field is a member of an event that means something to meterd.
type field uint8

const (
	fieldUnknown field = iota // ignored, but its syntax is checked
	fieldType
	fieldProduct
	fieldDevice
	fieldSize
	fieldID
	fieldTopic
	fieldPayload
	fieldBase64
	fieldTime

	fields
)

var fieldNames = [fields]string{
	"", "type", "product", "device", "size", "id", "topic", "payload", "payload_base64", "time",
}

// fieldSet has a bit for each field.
type fieldSet uint16

func (f field) bit() fieldSet { return 1 << f }

// span is the value of an odd member as it stands in the body: a string between its quotes, or nothing that judge
// needs to read.
type span struct {
	event.Ref
	kind spanKind
}

type spanKind uint8

const (
	spanOther   spanKind = iota // of a JSON type that the field cannot have, or a number that is no size
	spanPlain                   // a string without escapes
	spanEscaped                 // a string with some
)

// The keys as the eight bytes behind the opening quote have them, first byte lowest. Those that are shorter include
// the colon; the mask says how many bytes count.
const (
	wordType    = 't' | 'y'<<8 | 'p'<<16 | 'e'<<24 | '"'<<32 | ':'<<40
	wordTime    = 't' | 'i'<<8 | 'm'<<16 | 'e'<<24 | '"'<<32 | ':'<<40
	wordSize    = 's' | 'i'<<8 | 'z'<<16 | 'e'<<24 | '"'<<32 | ':'<<40
	wordTopic   = 't' | 'o'<<8 | 'p'<<16 | 'i'<<24 | 'c'<<32 | '"'<<40 | ':'<<48
	wordDevice  = 'd' | 'e'<<8 | 'v'<<16 | 'i'<<24 | 'c'<<32 | 'e'<<40 | '"'<<48 | ':'<<56
	wordProduct = 'p' | 'r'<<8 | 'o'<<16 | 'd'<<24 | 'u'<<32 | 'c'<<40 | 't'<<48 | '"'<<56
	wordPayload = 'p' | 'a'<<8 | 'y'<<16 | 'l'<<24 | 'o'<<32 | 'a'<<40 | 'd'<<48 | '"'<<56
	wordBase64  = 'p' | 'a'<<8 | 'y'<<16 | 'l'<<24 | 'o'<<32 | 'a'<<40 | 'd'<<48 | '_'<<56 // and then
	wordBase64b = 'b' | 'a'<<8 | 's'<<16 | 'e'<<24 | '6'<<32 | '4'<<40 | '"'<<48 | ':'<<56
	wordID      = 'i' | 'd'<<8 | '"'<<16 | ':'<<24

	bytes3 = 1<<24 - 1
	bytes4 = 1<<32 - 1
	bytes5 = 1<<40 - 1
	bytes6 = 1<<48 - 1
	bytes7 = 1<<56 - 1
)

// object reads the members behind the brace at i-1, and judges the event.
func (d *decoder) object(i int) int {
	d.seen, d.odd = 0, 0
	if i = d.space(i); d.src[i] == '}' {
		d.judge()
		return i + 1
	}
	for {
		f, j := d.key(i)
		if j < 0 {
			return -1
		}
		switch j = d.space(j); f {
		case fieldType:
			j = d.typeValue(j)
		case fieldProduct:
			j = d.nameValue(j, f, &d.ev.Product)
		case fieldDevice:
			j = d.nameValue(j, f, &d.ev.Device)
		case fieldID:
			j = d.nameValue(j, f, &d.ev.ID)
		case fieldSize:
			j = d.sizeValue(j)
		case fieldTopic:
			j = d.textValue(j, f, &d.ev.Topic, event.TopicBytesMax)
		case fieldPayload:
			j = d.textValue(j, f, &d.ev.Payload, event.PayloadBytesMax)
		case fieldBase64:
			j = d.oddValue(j, f)
		case fieldTime:
			j = d.timeValue(j)
		default:
			j = d.skip(j)
		}
		if j < 0 {
			d.field = f
			return -1
		}
		i = d.space(j)
		switch d.src[i] {
		case ',':
			i = d.space(i + 1)
		case '}':
			d.judge()
			return i + 1
		default:
			d.field = f
			return d.fail(i, "a comma or the end of the object")
		}
	}
}

// key reads a key and its colon.
func (d *decoder) key(i int) (field, int) {
	if d.src[i] != '"' {
		return fieldUnknown, d.fail(i, "a member's name in quotes")
	}
	w := binary.LittleEndian.Uint64(d.src[i+1:])
	switch {
	case w == wordDevice:
		return fieldDevice, i + 9
	case w&bytes6 == wordType:
		return fieldType, i + 7
	case w&bytes6 == wordSize:
		return fieldSize, i + 7
	case w == wordProduct && d.src[i+9] == ':':
		return fieldProduct, i + 10
	case w == wordPayload && d.src[i+9] == ':':
		return fieldPayload, i + 10
	case w&bytes7 == wordTopic:
		return fieldTopic, i + 8
	case w&bytes6 == wordTime:
		return fieldTime, i + 7
	case w&bytes4 == wordID:
		return fieldID, i + 5
	case w == wordBase64 && binary.LittleEndian.Uint64(d.src[i+9:]) == wordBase64b:
		return fieldBase64, i + 17
	}
	return d.anyKey(i)
}

// anyKey reads a key that is not ours, is escaped, or has white space before its colon.
func (d *decoder) anyKey(i int) (field, int) {
	name, next := d.keyText(i)
	f := fieldUnknown
	for k := fieldType; k < fields; k++ {
		if string(name) == fieldNames[k] {
			f = k
		}
	}
	return f, next
}

// keyText reads a key and its colon. name holds until something is appended to the batch.
func (d *decoder) keyText(i int) (name []byte, next int) {
	end, escaped := d.text(i + 1)
	if end < 0 {
		return nil, -1
	}
	name = d.src[i+1 : end]
	if escaped {
		b := d.batch
		r := d.unescape(event.Ref{Off: uint32(i + 1), Len: uint32(len(name))})
		name = b.Bytes(r)
		b.Data = b.Data[:r.Off] // looked at by the caller, before anything else is appended
	}
	if i = d.space(end + 1); d.src[i] != ':' {
		return nil, d.fail(i, "a colon")
	}
	return name, i + 1
}

// plain notes that f is there and that its value stands in the Event.
func (d *decoder) plain(f field) {
	d.seen |= f.bit()
	d.odd &^= f.bit()
}

func (d *decoder) typeValue(i int) int {
	const (
		up      = 'u' | 'p'<<8 | '"'<<16
		down    = 'd' | 'o'<<8 | 'w'<<16 | 'n'<<24 | '"'<<32
		ota     = 'o' | 't'<<8 | 'a'<<16 | '"'<<24
		connect = 'c' | 'o'<<8 | 'n'<<16 | 'n'<<24 | 'e'<<32 | 'c'<<40 | 't'<<48 | '"'<<56
		disconn = 'd' | 'i'<<8 | 's'<<16 | 'c'<<24 | 'o'<<32 | 'n'<<40 | 'n'<<48 | 'e'<<56
		ct      = 'c' | 't'<<8 | '"'<<16
	)
	if d.src[i] == '"' {
		n := 0
		switch w := binary.LittleEndian.Uint64(d.src[i+1:]); {
		case w&bytes3 == up:
			d.ev.Type, n = event.Up, 4
		case w&bytes5 == down:
			d.ev.Type, n = event.Down, 6
		case w == connect:
			d.ev.Type, n = event.Connect, 9
		case w == disconn && binary.LittleEndian.Uint64(d.src[i+9:])&bytes3 == ct:
			d.ev.Type, n = event.Disconnect, 12
		case w&bytes4 == ota:
			d.ev.Type, n = event.OTA, 5
		}
		if n > 0 {
			d.plain(fieldType)
			return i + n
		}
	}
	return d.oddValue(i, fieldType)
}

func (d *decoder) nameValue(i int, f field, name *event.Ref) int {
	src := d.src
	if src[i] == '"' {
		j := i + 1
		for event.IsNameByte(src[j]) {
			j++
		}
		if n := j - i - 1; src[j] == '"' && n > 0 && n <= event.NameBytesMax {
			*name = event.Ref{Off: uint32(i + 1), Len: uint32(n)}
			d.plain(f)
			return j + 1
		}
	}
	return d.oddValue(i, f)
}

func (d *decoder) textValue(i int, f field, text *event.Ref, bytesMax int) int {
	if d.src[i] != '"' {
		return d.oddValue(i, f)
	}
	end, escaped := d.text(i + 1)
	switch n := end - i - 1; {
	case end < 0:
		return -1
	case escaped:
		d.note(f, spanEscaped, i+1, end)
	case n > bytesMax:
		d.note(f, spanPlain, i+1, end)
	default:
		*text = event.Ref{Off: uint32(i + 1), Len: uint32(n)}
		d.plain(f)
	}
	return end + 1
}

// sizeValue reads a whole number up to OTABytesMax; whether it fits the type is judged when the type is known.
func (d *decoder) sizeValue(i int) int {
	const digitsMax = 15 // more than OTABytesMax has, and far from overflow
	src := d.src
	size, j := int64(0), i
	for src[j]-'0' < 10 && j-i < digitsMax {
		size = size*10 + int64(src[j]-'0')
		j++
	}
	leadingZero := src[i] == '0' && j-i > 1
	if j > i && !leadingZero && size <= event.OTABytesMax && !goesOn(src[j]) {
		d.ev.Size = size
		d.plain(fieldSize)
		return j
	}
	return d.oddSize(i)
}

// oddSize reads a size that is no plain integer. It may be one all the same: 120.0, 12e1.
func (d *decoder) oddSize(i int) int {
	j := d.oddValue(i, fieldSize)
	if j < 0 {
		return -1
	}
	if n, ok := event.ParseWhole(d.src[i:j], event.OTABytesMax); ok {
		d.ev.Size = int64(n)
		d.plain(fieldSize)
	}
	return j
}

// goesOn reports whether c behind the digits of a number makes it another number than those say.
func goesOn(c byte) bool { return c == '.' || c|0x20 == 'e' || isDigit(c) }

func (d *decoder) timeValue(i int) int {
	if d.src[i] != '"' {
		return d.oddValue(i, fieldTime)
	}
	end, escaped := d.text(i + 1)
	if end < 0 {
		return -1
	}
	if !escaped {
		if ms, ok := event.ParseTime(d.src[i+1 : end]); ok {
			d.ev.TimeMs = ms
			d.plain(fieldTime)
			return end + 1
		}
		d.note(fieldTime, spanPlain, i+1, end)
		return end + 1
	}
	d.note(fieldTime, spanEscaped, i+1, end)
	return end + 1
}

// oddValue reads any value and leaves it to judge. Null is as if the member were not there.
func (d *decoder) oddValue(i int, f field) int {
	switch d.src[i] {
	case '"':
		end, escaped := d.text(i + 1)
		if end < 0 {
			return -1
		}
		kind := spanPlain
		if escaped {
			kind = spanEscaped
		}
		d.note(f, kind, i+1, end)
		return end + 1
	case 'n':
		if i = d.skip(i); i >= 0 {
			d.forget(f.bit())
		}
		return i
	}
	j := d.skip(i)
	if j >= 0 {
		d.note(f, spanOther, i, j)
	}
	return j
}

func (d *decoder) note(f field, kind spanKind, from, to int) {
	d.seen |= f.bit()
	d.odd |= f.bit()
	d.spans[f] = span{event.Ref{Off: uint32(from), Len: uint32(to - from)}, kind}
}
