package wire

import "github.com/meterd/meterd/event"

// The second pass over a protobuf batch: every event gets its names, and is judged as one that came as JSON would be.
// The first fault in this order is the one that is told: type, product, device, size, id, topic, payload, time.

// complete checks that every column has an entry for each event or none at all, and that tables without indexes serve
// all events.
func (r *protoReader) complete() bool {
	n := r.seen[pbTypes]
	for number, seen := range r.seen {
		if seen != 0 && seen != n {
			r.fail(number, "there are %d for %d types", seen, n)
			return false
		}
	}
	for i, t := range pbTables {
		if entries := len(r.batch.Scratch.Tables[i]); r.seen[t.indexes] == 0 && entries > 1 && entries != n {
			r.fail(t.entries, "there are %d for %d types, and no %s", entries, n, pbNames[t.indexes])
			return false
		}
	}
	if n == 0 {
		r.fail(0, "the body holds no event")
		return false
	}
	return true
}

// tableUse says where an event finds its entry of a table.
type tableUse uint8

const (
	useNone    tableUse = iota // the table is empty
	useFirst                   // all events have its only entry
	useOwn                     // event n has entry n
	useIndexed                 // the Off of the event's Ref says which
)

func (r *protoReader) use(table int) tableUse {
	switch entries := len(r.batch.Scratch.Tables[table]); {
	case r.seen[pbTables[table].indexes] > 0:
		return useIndexed
	case entries == 0:
		return useNone
	case entries == 1:
		return useFirst
	}
	return useOwn
}

// pick returns an event's entry of a table; ref is what the event has in its place until now.
func pick(table []event.Ref, use tableUse, i int, ref event.Ref) (entry event.Ref, ok bool) {
	switch use {
	case useFirst:
		return table[0], true
	case useOwn:
		return table[i], true
	case useNone:
		return event.Ref{}, true
	}
	if uint64(ref.Off) >= uint64(len(table)) {
		return event.Ref{}, false
	}
	return table[ref.Off], true
}

// judgeAll puts the names into the events and judges them.
func (r *protoReader) judgeAll() bool {
	products, devices, topics := r.batch.Scratch.Tables[tableProducts], r.batch.Scratch.Tables[tableDevices],
		r.batch.Scratch.Tables[tableTopics]
	ofProduct, ofDevice, ofTopic := r.use(tableProducts), r.use(tableDevices), r.use(tableTopics)
	events := r.batch.Events
	for i := range events {
		e := &events[i]
		var known [len(pbTables)]bool
		e.Product, known[tableProducts] = pick(products, ofProduct, i, e.Product)
		e.Device, known[tableDevices] = pick(devices, ofDevice, i, e.Device)
		e.Topic, known[tableTopics] = pick(topics, ofTopic, i, e.Topic)
		if known != [len(pbTables)]bool{true, true, true} {
			for t, ok := range known {
				if !ok {
					r.fail(pbTables[t].indexes, "entry %d refers to none of %s", i, pbNames[pbTables[t].entries])
				}
			}
			return false
		}
		isPlain := (e.Type == event.Up || e.Type == event.Down) && e.Product.Len != 0 && e.Device.Len != 0 &&
			e.Size <= event.MessageBytesMax && e.ID == event.Ref{} && e.Topic.Off != illOff &&
			e.Payload.Len <= event.PayloadBytesMax && e.TimeMs == 0
		if !isPlain {
			r.judge(e)
		}
		if e.Size == 0 && (e.Type == event.Up || e.Type == event.Down) && e.Fault == event.FaultNone {
			e.Size = int64(e.Payload.Len)
		}
	}
	return true
}

// judge completes an event that is not simply a message, or makes it one that is nothing but its Fault.
func (r *protoReader) judge(e *event.Event) {
	fault := r.faultOf(e)
	switch fault {
	case event.FaultNone:
	case event.FaultPayloadTooLarge:
		// It is denied like an event that was decided, and stands in the log as such, but for its payload (R18).
		if e.TimeMs < event.TimeMsMin || e.TimeMs > event.TimeMsMax {
			e.TimeMs = 0
		}
		if e.Size == 0 && (e.Type == event.Up || e.Type == event.Down) {
			e.Size = int64(e.Payload.Len)
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
	case event.FaultType, event.FaultTypeMissing:
		*e = event.Event{Fault: fault}
	default:
		*e = event.Event{Type: e.Type, Fault: fault}
	}
}

// faultOf returns what is wrong with an event, after forgetting what its type does not take.
func (r *protoReader) faultOf(e *event.Event) event.Fault {
	switch e.Type {
	case event.Up, event.Down:
		e.ID = event.Ref{}
	case event.Connect, event.Disconnect:
		e.ID, e.Size = event.Ref{}, 0
	case event.OTA:
	case event.OTAVoid:
		e.Size = 0
	case 0:
		return event.FaultTypeMissing
	default:
		return event.FaultType
	}
	sizeMax := int64(event.MessageBytesMax)
	if e.Type == event.OTA {
		sizeMax = event.OTABytesMax
	}
	switch {
	case e.Product.Off == illOff:
		return event.FaultProduct
	case e.Product.Len == 0:
		return event.FaultProductMissing
	case e.Device.Off == illOff:
		return event.FaultDevice
	case e.Device.Len == 0:
		return event.FaultDeviceMissing
	case e.Size > sizeMax:
		return event.FaultSize
	case e.Type == event.OTA && e.Size == 0: // Nobody means an upgrade of nothing: it is not there.
		return event.FaultSizeMissing
	case e.ID.Off == illOff:
		return event.FaultID
	case e.Type == event.OTAVoid && e.ID.Len == 0:
		return event.FaultIDMissing
	case e.Topic.Off == illOff:
		return event.FaultTopic
	case e.Payload.Len > event.PayloadBytesMax:
		return event.FaultPayloadTooLarge
	case e.TimeMs < event.TimeMsMin || e.TimeMs > event.TimeMsMax:
		return event.FaultTime
	}
	return event.FaultNone
}
