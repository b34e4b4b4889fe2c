package wire

import (
	"bytes"

	"github.com/meterd/meterd/event"
)

// Events in the JSON format of CloudEvents 1.0
// (github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md). What an event of ours has flat stands
// there in two levels:
//
//	{"specversion":"1.0","type":"io.meterd.up","source":"/gw/7","id":"8a1f","subject":"p1/d1",
//	 "time":"2026-11-23T10:00:00Z",
//	 "data":{"size":120,"topic":"t","payload":"…"}}
//
// Both levels are read by decoder's ways into the same Event, and what both formats have is judged by the same code.
// The id, which every CloudEvent has, is that of an OTA (R17). Of other types it names the event together with its
// source, so that one that is sent again is known. Other attributes, extensions among them, are ignored, as members
// that we do not know are. The data must be there as JSON: of bytes in data_base64 nobody says what they mean.

const cloudTypePrefix = "io.meterd."

// cloudMember says what became of a member that only CloudEvents have.
type cloudMember uint8

const (
	cloudAbsent cloudMember = iota
	cloudTaken
	cloudIll
)

// cloudMembers is what decoder knows of an event beside its fields.
type cloudMembers struct {
	version, subject, data, base64 cloudMember
	source                         event.Ref // empty without
}

// dataFields are the fields that stand within the data.
const dataFields = 1<<fieldSize | 1<<fieldTopic | 1<<fieldPayload | 1<<fieldBase64

// DecodeCloudEvent makes b the batch of the one event that body holds, as DecodeJSON does: a value that is no object is
// one event with FaultNotObject, also an array.
func DecodeCloudEvent(b *event.Batch, body []byte) *event.Problem {
	return decodeCloud(b, body, false)
}

// DecodeCloudEvents makes b the batch of the events in the array that body holds. All else is as with DecodeJSON, but
// one event outside of an array is refused.
func DecodeCloudEvents(b *event.Batch, body []byte) *event.Problem {
	return decodeCloud(b, body, true)
}

func decodeCloud(b *event.Batch, body []byte, array bool) *event.Problem {
	d, p := newDecoder(b, body)
	if p != nil {
		return p
	}
	d.isCloud = true
	i := d.space(0)
	if i == d.end {
		return &event.Problem{Code: event.BadRequest, Detail: "the body holds no event"}
	}
	switch {
	case !array:
		i = d.event(i)
	case d.src[i] == '[':
		i = d.array(i + 1)
	default:
		i = d.fail(i, "an array of events")
	}
	if i >= 0 {
		if i = d.space(i); i < d.end {
			i = d.fail(i, "the end of the body")
		}
	}
	if i < 0 {
		return d.problem()
	}
	return nil
}

// cloudEvent reads the attributes behind the brace at i-1, and judges the event.
func (d *decoder) cloudEvent(i int) int {
	d.seen, d.odd, d.cloud = 0, 0, cloudMembers{}
	if i = d.members(i, false); i >= 0 {
		d.judgeCloud()
	}
	return i
}

// members reads the members behind the brace at i-1: those of an event, or those of its data.
func (d *decoder) members(i int, data bool) int {
	if i = d.space(i); d.src[i] == '}' {
		return i + 1
	}
	for {
		if d.src[i] != '"' {
			return d.fail(i, "a member's name in quotes")
		}
		name, j := d.keyText(i)
		if j < 0 {
			return -1
		}
		if j = d.space(j); data {
			j = d.datum(name, j)
		} else {
			j = d.attribute(name, j)
		}
		if j < 0 {
			return -1
		}
		i = d.space(j)
		switch d.src[i] {
		case ',':
			i = d.space(i + 1)
		case '}':
			return i + 1
		default:
			return d.fail(i, "a comma or the end of the object")
		}
	}
}

// attribute reads the value at i of the event's member with a name, which is looked at before anything is appended to
// the batch.
func (d *decoder) attribute(name []byte, i int) int {
	switch string(name) {
	case "specversion":
		return d.versionValue(i)
	case "type":
		return d.failed(fieldType, d.cloudTypeValue(i))
	case "subject":
		return d.subjectValue(i)
	case "source":
		d.cloud.source, _, i = d.stringValue(i)
		return i
	case "id":
		return d.failed(fieldID, d.nameValue(i, fieldID, &d.ev.ID))
	case "time":
		return d.failed(fieldTime, d.timeValue(i))
	case "data":
		return d.dataValue(i)
	case "data_base64":
		if d.cloud.base64 = cloudIll; d.src[i] == 'n' {
			d.cloud.base64 = cloudAbsent
		}
	}
	return d.skip(i)
}

// datum is attribute for the members of the data.
func (d *decoder) datum(name []byte, i int) int {
	switch string(name) {
	case "size":
		return d.failed(fieldSize, d.sizeValue(i))
	case "topic":
		return d.failed(fieldTopic, d.textValue(i, fieldTopic, &d.ev.Topic, event.TopicBytesMax))
	case "payload":
		return d.failed(fieldPayload, d.textValue(i, fieldPayload, &d.ev.Payload, event.PayloadBytesMax))
	case "payload_base64":
		return d.failed(fieldBase64, d.oddValue(i, fieldBase64))
	}
	return d.skip(i)
}

// failed notes that f failed if i, what reading its value returned, says so.
func (d *decoder) failed(f field, i int) int {
	if i < 0 {
		d.field = f
	}
	return i
}

// stringValue reads any value: cloudTaken is a string, which r names then, without escapes; cloudAbsent is null.
func (d *decoder) stringValue(i int) (r event.Ref, is cloudMember, next int) {
	switch d.src[i] {
	case '"':
		end, escaped := d.text(i + 1)
		if end < 0 {
			return r, cloudIll, -1
		}
		r = event.Ref{Off: uint32(i + 1), Len: uint32(end - i - 1)}
		if escaped {
			r = d.unescape(r)
		}
		return r, cloudTaken, end + 1
	case 'n':
		return r, cloudAbsent, d.skip(i)
	}
	return r, cloudIll, d.skip(i)
}

func (d *decoder) versionValue(i int) int {
	r, is, next := d.stringValue(i)
	if is == cloudTaken && string(d.batch.Bytes(r)) != "1.0" {
		is = cloudIll
	}
	d.cloud.version = is
	return next
}

func (d *decoder) cloudTypeValue(i int) int {
	d.forget(1 << fieldType)
	d.ev.Type = 0
	r, is, next := d.stringValue(i)
	if is == cloudAbsent {
		return next
	}
	d.takeCloudType(d.batch.Bytes(r))
	return next
}

func (d *decoder) takeCloudType(text []byte) {
	d.plain(fieldType) // If it is none, Type says so.
	if name, ok := bytes.CutPrefix(text, []byte(cloudTypePrefix)); ok {
		d.ev.Type = event.ParseType(name)
	}
}

func (d *decoder) subjectValue(i int) int {
	d.forget(1<<fieldProduct | 1<<fieldDevice)
	r, is, next := d.stringValue(i)
	if is == cloudTaken {
		is = d.takeSubject(r)
	}
	d.cloud.subject = is
	return next
}

// takeSubject takes product and device from "product/device".
func (d *decoder) takeSubject(r event.Ref) cloudMember {
	text := d.batch.Bytes(r)
	slash := bytes.IndexByte(text, '/')
	if slash < 0 || !event.ValidName(text[:slash]) || !event.ValidName(text[slash+1:]) {
		return cloudIll
	}
	d.ev.Product = event.Ref{Off: r.Off, Len: uint32(slash)}
	d.ev.Device = event.Ref{Off: r.Off + uint32(slash) + 1, Len: r.Len - uint32(slash) - 1}
	d.plain(fieldProduct)
	d.plain(fieldDevice)
	return cloudTaken
}

func (d *decoder) dataValue(i int) int {
	d.forget(dataFields) // Of equal members the last one holds, as a whole.
	switch d.src[i] {
	case '{':
		d.cloud.data = cloudTaken
		return d.members(i+1, true)
	case 'n':
		d.cloud.data = cloudAbsent
	default:
		d.cloud.data = cloudIll
	}
	return d.skip(i)
}

// judgeCloud completes the event, or makes it one that is nothing but its Fault. What only CloudEvents have is told
// first.
func (d *decoder) judgeCloud() {
	e := d.ev
	if fault := d.cloudFault(); fault != event.FaultNone {
		*e = event.Event{Type: e.Type, Fault: fault}
		return
	}
	if takes[e.Type]&(1<<fieldID) == 0 {
		d.origin()
		// Every event has an id. It may be long and hold anything, and need not lead to the slow way of judge.
		d.seen &^= 1 << fieldID
		d.odd &^= 1 << fieldID
		e.ID = event.Ref{}
	}
	d.judge()
}

// origin notes source and id of the event.
func (d *decoder) origin() {
	id := d.ev.ID
	if d.isOdd(fieldID) {
		id, _ = d.unescaped(fieldID)
	}
	if id.Len > 0 && d.cloud.source.Len > 0 {
		d.batch.Origins[len(d.batch.Origins)-1] = event.Origin{Source: d.cloud.source, ID: id}
	}
}

func (d *decoder) cloudFault() event.Fault {
	switch {
	case d.cloud.version != cloudTaken:
		return event.FaultSpecVersion
	case !d.has(fieldType):
		return event.FaultTypeMissing
	case d.ev.Type == 0:
		return event.FaultCloudType
	case d.cloud.subject == cloudAbsent:
		return event.FaultSubjectMissing
	case d.cloud.subject == cloudIll:
		return event.FaultSubject
	case d.cloud.base64 != cloudAbsent:
		return event.FaultDataBase64
	case d.cloud.data == cloudIll:
		return event.FaultData
	}
	return event.FaultNone
}
