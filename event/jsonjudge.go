package event

import (
	"bytes"
	"encoding/base64"
	"slices"
)

// What JSON an event may be is settled when its object has ended: only then is its type known, and which of two equal
// keys came last. The first fault in this order is the one that is told: type, product, device, size, id, topic,
// payload, time.

// The members that a type needs, and those that it takes. What it does not take is ignored, whatever it holds.
const (
	needsAlways = 1<<fieldType | 1<<fieldProduct | 1<<fieldDevice
	takesAlways = needsAlways | 1<<fieldTopic | 1<<fieldPayload | 1<<fieldBase64 | 1<<fieldTime
)

var needs = [Types]fieldSet{
	0: needsAlways, Connect: needsAlways, Disconnect: needsAlways, Up: needsAlways, Down: needsAlways,
	OTA: needsAlways | 1<<fieldSize, OTAVoid: needsAlways | 1<<fieldID,
}

var takes = [Types]fieldSet{
	0: takesAlways, Connect: takesAlways, Disconnect: takesAlways,
	Up: takesAlways | 1<<fieldSize, Down: takesAlways | 1<<fieldSize,
	OTA: takesAlways | 1<<fieldSize | 1<<fieldID, OTAVoid: takesAlways | 1<<fieldID,
}

// judge completes the event, or makes it one that is nothing but its Fault.
func (d *decoder) judge() {
	e := d.ev
	t := e.Type
	if d.odd == 0 && d.seen&needs[t] == needs[t] && d.seen&^takes[t] == 0 && (e.Size <= MessageBytesMax || t == OTA) {
		d.fillSize()
		return
	}
	unescapedAt := len(d.batch.Data)
	fault := d.settle()
	if fault == FaultPayloadTooLarge {
		// It is denied like an event that was decided, and stands in the log as such, but for its payload (R18).
		if d.settleTime() != FaultNone {
			e.TimeMs = 0
		}
		*e = Event{
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
	if fault != FaultNone {
		*e = Event{Type: e.Type, Fault: fault}
		d.batch.Data = d.batch.Data[:unescapedAt]
		return
	}
	d.fillSize()
}

// fillSize gives a message that names no size that of its payload.
func (d *decoder) fillSize() {
	if e := d.ev; !d.has(fieldSize) && (e.Type == Up || e.Type == Down) {
		e.Size = int64(e.Payload.Len)
	}
}

func (d *decoder) has(f field) bool   { return d.seen&(1<<f) != 0 }
func (d *decoder) isOdd(f field) bool { return d.odd&(1<<f) != 0 }

// settle is judge for events with something odd, missing or ignored.
func (d *decoder) settle() Fault {
	e := d.ev
	if fault := d.settleType(); fault != FaultNone {
		e.Type = 0
		return fault
	}
	d.forget(^takes[e.Type])
	if fault := d.settleName(fieldProduct, &e.Product, FaultProduct, FaultProductMissing); fault != FaultNone {
		return fault
	}
	if fault := d.settleName(fieldDevice, &e.Device, FaultDevice, FaultDeviceMissing); fault != FaultNone {
		return fault
	}
	if d.isOdd(fieldSize) || e.Size > MessageBytesMax && e.Type != OTA {
		return FaultSize
	}
	if e.Type == OTA && !d.has(fieldSize) {
		return FaultSizeMissing
	}
	if fault := d.settleName(fieldID, &e.ID, FaultID, FaultIDMissing); fault != FaultNone {
		return fault
	}
	if fault := d.settleTopic(); fault != FaultNone {
		return fault
	}
	if fault := d.settlePayload(); fault != FaultNone {
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
			e.Product = Ref{}
		case fieldDevice:
			e.Device = Ref{}
		case fieldSize:
			e.Size = 0
		case fieldID:
			e.ID = Ref{}
		case fieldTopic:
			e.Topic = Ref{}
		case fieldPayload:
			e.Payload = Ref{}
		case fieldTime:
			e.TimeMs = 0
		}
	}
}

// unescaped returns the string that an odd member holds; ok is false if it holds something else.
func (d *decoder) unescaped(f field) (r Ref, ok bool) {
	switch s := d.spans[f]; s.kind {
	case spanPlain:
		return s.Ref, true
	case spanEscaped:
		return d.unescape(s.Ref), true
	}
	return Ref{}, false
}

func (d *decoder) settleType() Fault {
	if !d.has(fieldType) {
		return FaultTypeMissing
	}
	if !d.isOdd(fieldType) {
		return FaultNone
	}
	r, ok := d.unescaped(fieldType)
	if !ok {
		return FaultType
	}
	if d.ev.Type = ParseType(d.batch.Bytes(r)); d.ev.Type == 0 {
		return FaultType
	}
	return FaultNone
}

func (d *decoder) settleName(f field, name *Ref, ill, missing Fault) Fault {
	if !d.has(f) {
		if needs[d.ev.Type]&f.bit() != 0 {
			return missing
		}
		return FaultNone
	}
	if !d.isOdd(f) {
		return FaultNone
	}
	r, ok := d.unescaped(f)
	if !ok || !ValidName(d.batch.Bytes(r)) {
		return ill
	}
	*name = r
	return FaultNone
}

func (d *decoder) settleTopic() Fault {
	if !d.isOdd(fieldTopic) {
		return FaultNone
	}
	r, ok := d.unescaped(fieldTopic)
	if !ok || r.Len > TopicBytesMax {
		return FaultTopic
	}
	d.ev.Topic = r
	return FaultNone
}

func (d *decoder) settlePayload() Fault {
	switch {
	case d.has(fieldPayload) && d.has(fieldBase64):
		return FaultPayloadTwice
	case d.isOdd(fieldPayload):
		r, ok := d.unescaped(fieldPayload)
		if !ok {
			return FaultPayload
		}
		if d.ev.Payload = r; r.Len > PayloadBytesMax {
			d.fillSize()
			return FaultPayloadTooLarge
		}
	case d.isOdd(fieldBase64):
		r, ok := d.unescaped(fieldBase64)
		if !ok {
			return FaultPayloadBase64
		}
		var fault Fault
		if d.ev.Payload, fault = d.batch.appendBase64(r); fault == FaultPayloadTooLarge {
			d.fillSize()
		}
		return fault
	}
	return FaultNone
}

func (d *decoder) settleTime() Fault {
	if !d.isOdd(fieldTime) {
		return FaultNone
	}
	r, ok := d.unescaped(fieldTime)
	if !ok {
		return FaultTime
	}
	if d.ev.TimeMs, ok = parseTime(d.batch.Bytes(r)); !ok {
		return FaultTime
	}
	return FaultNone
}

// appendBase64 decodes what r names to the end of Data: RFC 4648's standard alphabet with its padding, nothing between.
// Its size is judged before its letters are, so that nothing is decoded only to be found too large: then the Ref has
// nothing but its length.
func (b *Batch) appendBase64(r Ref) (Ref, Fault) {
	text := b.Bytes(r)
	if len(text)%4 != 0 || bytes.IndexByte(text, '\n') >= 0 ||
		bytes.IndexByte(text, '\r') >= 0 { // the library skips line ends
		return Ref{}, FaultPayloadBase64
	}
	if n := len(text)/4*3 - (len(text) - len(bytes.TrimRight(text, "="))); n > PayloadBytesMax {
		return Ref{Len: uint32(n)}, FaultPayloadTooLarge
	}
	from := len(b.Data)
	room := base64.StdEncoding.DecodedLen(len(text))
	b.Data = slices.Grow(b.Data, room)
	n, err := base64.StdEncoding.Decode(b.Data[from:from+room], text)
	if err != nil {
		return Ref{}, FaultPayloadBase64
	}
	b.Data = b.Data[:from+n]
	return Ref{Off: uint32(from), Len: uint32(n)}, FaultNone
}
