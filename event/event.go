package event

// Type says what happened to a device.
type Type uint8

// The types of events, in wire order: records on disk carry these numbers.
const (
	Connect    Type = 1 // the device logs in; consumes a licence if it is not active (R1, R3)
	Disconnect Type = 2 // the device is gone; counts only from its holder (R3)
	Up         Type = 3 // a message from the device to the platform (R10)
	Down       Type = 4 // a message about to be delivered to the device (R10)
	OTA        Type = 5 // a firmware upgrade is about to start (R15)
	OTAVoid    Type = 6 // a failed firmware upgrade is given back by id (R17)
)

// Types is one more than the largest Type: the length of a table indexed by Type.
const Types = 7

var typeNames = [Types]string{"", "connect", "disconnect", "up", "down", "ota", "ota_void"}

// String returns the wire name of t, "" for a value that is no Type.
func (t Type) String() string {
	if int(t) >= len(typeNames) {
		return ""
	}
	return typeNames[t]
}

// ParseType returns the Type with the wire name b, or 0.
func ParseType(b []byte) Type {
	switch string(b) { // The compiler compares without allocating.
	case "up":
		return Up
	case "down":
		return Down
	case "connect":
		return Connect
	case "disconnect":
		return Disconnect
	case "ota":
		return OTA
	case "ota_void":
		return OTAVoid
	}
	return 0
}

// Ref names Len bytes of a Batch's Data beginning at Off. The zero Ref is empty.
type Ref struct{ Off, Len uint32 }

// Event is one thing that happened to a device. It owns no memory: names and payload are Refs into its Batch.
type Event struct {
	Product, Device Ref
	ID              Ref   // the OTA's id, empty without one (R17)
	Topic, Payload  Ref   // kept in the raw log only
	Size            int64 // bytes; of the message, or of the firmware package
	TimeMs          int64 // what the gateway claims, Unix milliseconds, 0 without; never decides anything (R12)
	Type            Type
	// not zero: the decoder refused this event; only FaultPayloadTooLarge leaves it what the log keeps
	Fault Fault
}

// Origin is source and id of a CloudEvent: two events that have both alike are one that was sent twice. Both are empty
// if one of them is missing, and of OTAs, which have ids of their own (R17).
type Origin struct{ Source, ID Ref }

// Batch is what one request carries, decoded and flat. It is not safe for concurrent use.
type Batch struct {
	Data   []byte  // the batch's own: body, padding, then whatever decoding had to unescape
	Events []Event // in the order of the request; at most EventsMax
	// Origins are what identifies each event where it comes from; empty if the format has nothing of the kind.
	Origins []Origin

	// Scratch is the decoder's, kept for the next body; nobody else looks at it.
	Scratch Scratch
}

// Scratch is memory that a decoder needs beside the Batch, and uses again.
type Scratch struct {
	Tables  [3][]Ref // of strings that events refer to
	Numbers []uint64 // a column
}

// Reset empties b and keeps its memory for the next request.
func (b *Batch) Reset() {
	b.Data = b.Data[:0]
	b.Events = b.Events[:0]
	b.Origins = b.Origins[:0]
}

// Bytes returns the bytes that r names. They are valid until the next Reset and must not be changed.
func (b *Batch) Bytes(r Ref) []byte { return b.Data[r.Off : r.Off+r.Len : r.Off+r.Len] }

// Append copies p behind Data and returns where it lies.
func (b *Batch) Append(p []byte) Ref {
	r := Ref{Off: uint32(len(b.Data)), Len: uint32(len(p))}
	b.Data = append(b.Data, p...)
	return r
}
