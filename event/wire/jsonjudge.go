package wire

import (
	"bytes"
	"encoding/base64"
	"slices"

	"github.com/meterd/meterd/event"
)

// What JSON an event may be is settled when its object has ended: only then is its type known, and which of two equal
// keys came last. The first fault in this order is the one that is told: type, product, device, size, id, topic,
// payload, time.

// The members that a type needs, and those that it takes. What it does not take is ignored, whatever it holds.
const (
	needsAlways = 1<<fieldType | 1<<fieldProduct | 1<<fieldDevice
	takesAlways = needsAlways | 1<<fieldTopic | 1<<fieldPayload | 1<<fieldBase64 | 1<<fieldTime
)

var needs = [event.Types]fieldSet{
	0:                needsAlways,
	event.Connect:    needsAlways,
	event.Disconnect: needsAlways,
	event.Up:         needsAlways,
	event.Down:       needsAlways,
	event.OTA:        needsAlways | 1<<fieldSize,
	event.OTAVoid:    needsAlways | 1<<fieldID,
}

var takes = [event.Types]fieldSet{
	0: takesAlways, event.Connect: takesAlways, event.Disconnect: takesAlways,
	event.Up: takesAlways | 1<<fieldSize, event.Down: takesAlways | 1<<fieldSize,
	event.OTA: takesAlways | 1<<fieldSize | 1<<fieldID, event.OTAVoid: takesAlways | 1<<fieldID,
}

// judge completes the event, or makes it one that is nothing but its Fault.
func (d *decoder) judge() {
	e := d.ev
	t := e.Type
	if d.odd == 0 && d.seen&needs[t] == needs[t] && d.seen&^takes[t] == 0 &&
		(e.Size <= event.MessageBytesMax || t == event.OTA) {
		d.fillSize()
		return
	}
	unescapedAt := len(d.batch.Data)
	fault := d.settle()
	if fault == event.FaultPayloadTooLarge {
		// It is denied like an event that was decided, and stands in the log as such, but for its payload (R18).
		if d.settleTime() != event.FaultNone {
			e.TimeMs = 0
		}
		*e = event.Event{
			Type:    e.Type,
			Product: e.Product,
			Device:  e.Device,
			Topic:   e.Topic,
			TimeMs:  e.TimeMs,
			Size:    e.Size,
			Fault:   fault,
		}
		return
	}
	if fault != event.FaultNone {
		*e = event.Event{Type: e.Type, Fault: fault}
		d.batch.Data = d.batch.Data[:unescapedAt]
		return
	}
	d.fillSize()
}

// fillSize gives a message that names no size that of its payload.
func (d *decoder) fillSize() {
	if e := d.ev; !d.has(fieldSize) && (e.Type == event.Up || e.Type == event.Down) {
		e.Size = int64(e.Payload.Len)
	}
}

func (d *decoder) has(f field) bool   { return d.seen&(1<<f) != 0 }
func (d *decoder) isOdd(f field) bool { return d.odd&(1<<f) != 0 }

// settle is judge for events with something odd, missing or ignored.
func (d *decoder) settle() event.Fault {
	e := d.ev
	if fault := d.settleType(); fault != event.FaultNone {
		e.Type = 0
		return fault
	}
	d.forget(^takes[e.Type])
	if fault := d.settleName(
		fieldProduct,
		&e.Product,
		event.FaultProduct,
		event.FaultProductMissing,
	); fault != event.FaultNone {
		return fault
	}
	if fault := d.settleName(
		fieldDevice,
		&e.Device,
		event.FaultDevice,
		event.FaultDeviceMissing,
	); fault != event.FaultNone {
		return fault
	}
	if d.isOdd(fieldSize) || e.Size > event.MessageBytesMax && e.Type != event.OTA {
		return event.FaultSize
	}
	if e.Type == event.OTA && !d.has(fieldSize) {
		return event.FaultSizeMissing
	}
	if fault := d.settleName(fieldID, &e.ID, event.FaultID, event.FaultIDMissing); fault != event.FaultNone {
		return fault
	}
	if fault := d.settleTopic(); fault != event.FaultNone {
		return fault
	}
	if fault := d.settlePayload(); fault != event.FaultNone {
		return fault
	}
	return d.settleTime()
}

// forget makes the event one that never had the members of set. A member of an Event that is not seen is zero.
func (d *decoder) forget(set fieldSet) {
	d.seen &^= set
	d.odd &^= set
	e := d.ev
	for f := fieldProduct; f < fields; f++ {
		if set&f.bit() == 0 {
			continue
		}
		switch f {
		case fieldProduct:
			e.Product = event.Ref{}
		case fieldDevice:
			e.Device = event.Ref{}
		case fieldSize:
			e.Size = 0
		case fieldID:
			e.ID = event.Ref{}
		case fieldTopic:
			e.Topic = event.Ref{}
		case fieldPayload:
			e.Payload = event.Ref{}
		case fieldTime:
			e.TimeMs = 0
		}
	}
}

// unescaped returns the string that an odd member holds; ok is false if it holds something else.
func (d *decoder) unescaped(f field) (r event.Ref, ok bool) {
	switch s := d.spans[f]; s.kind {
	case spanPlain:
		return s.Ref, true
	case spanEscaped:
		return d.unescape(s.Ref), true
	}
	return event.Ref{}, false
}

func (d *decoder) settleType() event.Fault {
	if !d.has(fieldType) {
		return event.FaultTypeMissing
	}
	if !d.isOdd(fieldType) {
		return event.FaultNone
	}
	r, ok := d.unescaped(fieldType)
	if !ok {
		return event.FaultType
	}
	if d.ev.Type = event.ParseType(d.batch.Bytes(r)); d.ev.Type == 0 {
		return event.FaultType
	}
	return event.FaultNone
}

func (d *decoder) settleName(f field, name *event.Ref, ill, missing event.Fault) event.Fault {
	if !d.has(f) {
		if needs[d.ev.Type]&f.bit() != 0 {
			return missing
		}
		return event.FaultNone
	}
	if !d.isOdd(f) {
		return event.FaultNone
	}
	r, ok := d.unescaped(f)
	if !ok || !event.ValidName(d.batch.Bytes(r)) {
		return ill
	}
	*name = r
	return event.FaultNone
}

func (d *decoder) settleTopic() event.Fault {
	if !d.isOdd(fieldTopic) {
		return event.FaultNone
	}
	r, ok := d.unescaped(fieldTopic)
	if !ok || r.Len > event.TopicBytesMax {
		return event.FaultTopic
	}
	d.ev.Topic = r
	return event.FaultNone
}

func (d *decoder) settlePayload() event.Fault {
	switch {
	case d.has(fieldPayload) && d.has(fieldBase64):
		return event.FaultPayloadTwice
	case d.isOdd(fieldPayload):
		r, ok := d.unescaped(fieldPayload)
		if !ok {
			return event.FaultPayload
		}
		if d.ev.Payload = r; r.Len > event.PayloadBytesMax {
			d.fillSize()
			return event.FaultPayloadTooLarge
		}
	case d.isOdd(fieldBase64):
		r, ok := d.unescaped(fieldBase64)
		if !ok {
			return event.FaultPayloadBase64
		}
		var fault event.Fault
		if d.ev.Payload, fault = appendBase64(d.batch, r); fault == event.FaultPayloadTooLarge {
			d.fillSize()
		}
		return fault
	}
	return event.FaultNone
}

func (d *decoder) settleTime() event.Fault {
	if !d.isOdd(fieldTime) {
		return event.FaultNone
	}
	r, ok := d.unescaped(fieldTime)
	if !ok {
		return event.FaultTime
	}
	if d.ev.TimeMs, ok = event.ParseTime(d.batch.Bytes(r)); !ok {
		return event.FaultTime
	}
	return event.FaultNone
}

// appendBase64 decodes what r names to the end of Data: RFC 4648's standard alphabet with its padding, nothing between.
// Its size is judged before its letters are, so that nothing is decoded only to be found too large: then the Ref has
// nothing but its length.
func appendBase64(b *event.Batch, r event.Ref) (event.Ref, event.Fault) {
	text := b.Bytes(r)
	if len(text)%4 != 0 || bytes.IndexByte(text, '\n') >= 0 ||
		bytes.IndexByte(text, '\r') >= 0 { // the library skips line ends
		return event.Ref{}, event.FaultPayloadBase64
	}
	if n := len(text)/4*3 - (len(text) - len(bytes.TrimRight(text, "="))); n > event.PayloadBytesMax {
		return event.Ref{Len: uint32(n)}, event.FaultPayloadTooLarge
	}
	from := len(b.Data)
	room := base64.StdEncoding.DecodedLen(len(text))
	b.Data = slices.Grow(b.Data, room)
	n, err := base64.StdEncoding.Decode(b.Data[from:from+room], text)
	if err != nil {
		return event.Ref{}, event.FaultPayloadBase64
	}
	b.Data = b.Data[:from+n]
	return event.Ref{Off: uint32(from), Len: uint32(n)}, event.FaultNone
}
