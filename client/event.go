package client

import (
	"fmt"
	"time"

	"github.com/meterd/meterd/event"
)

// Event is one thing that happened to a device.
type Event struct {
	Type            event.Type
	Product, Device string    // 1 to 64 bytes of A-Z a-z 0-9 . _ : - each
	Size            int64     // bytes of the message or firmware package; 0 with a payload stands for its length
	Topic           string    // at most 256 bytes; kept in the raw log only
	Payload         []byte    // at most 256 KiB; kept in the raw log only; not referred to once a call returned
	Time            time.Time // what the gateway claims, zero for none; never decides anything (R12)
	ID              string    // of an OTA, so that it can be voided (R17)
}

// Verdict is meterd's answer to one event.
type Verdict struct {
	Accepted bool
	// Unasked: meterd could not be asked, and this is the policy's. An event that passes (or is a disconnect) is reported
	// later; one that LastKnown denies is not.
	Unasked bool
	// Code is the wire name: "accepted", or why it was denied. New codes may appear; they are denials. Compare with Is.
	Code string
	// WouldDeny is the code of the quota that would have denied an accepted event, did its product not only observe; ""
	// for none. Then the numbers below are those of that quota.
	WouldDeny string

	Limit, Used    uint64    // units, with message_quota_exceeded and ota_quota_exceeded
	Requested      uint64    // units, with ota_quota_exceeded
	TopupAvailable uint64    // units, with ota_quota_exceeded
	ResetsAt       time.Time // when the window ends, with the quota codes
	Scope          string    // account, product or device, with suspended
	Field, Detail  string    // what is wrong, with invalid_event and payload_too_large
}

// Is reports whether v has the code c.
func (v Verdict) Is(c event.Code) bool { return v.Code == c.String() }

// accepted is what an accepted event is answered; unasked adds that meterd was not asked.
func accepted(unasked bool) Verdict {
	return Verdict{Accepted: true, Unasked: unasked, Code: event.Accepted.String()}
}

// repeatable reports whether asking about an event of type t twice counts no more than once: connect consumes nothing
// for an active device (R1), disconnect nothing at all (R3).
func repeatable(t event.Type) bool { return t == event.Connect || t == event.Disconnect }

// check refuses what would be denied anyway and could make the whole batch too large; all else is meterd's to judge.
func (e *Event) check() error {
	switch {
	case e.Type.String() == "":
		return fmt.Errorf("%w: type %d is none of the contract's", ErrInvalid, e.Type)
	case !event.ValidName([]byte(e.Product)):
		return fmt.Errorf("%w: product %.80q: must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", ErrInvalid, e.Product)
	case !event.ValidName([]byte(e.Device)):
		return fmt.Errorf("%w: device %.80q: must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", ErrInvalid, e.Device)
	case e.ID != "" && !event.ValidName([]byte(e.ID)):
		return fmt.Errorf("%w: id %.80q: must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -", ErrInvalid, e.ID)
	case len(e.Topic) > event.TopicBytesMax:
		return fmt.Errorf("%w: topic of %d bytes: at most %d", ErrInvalid, len(e.Topic), event.TopicBytesMax)
	case len(e.Payload) > event.PayloadBytesMax:
		return fmt.Errorf("%w: payload of %d bytes: at most %d", ErrInvalid, len(e.Payload), event.PayloadBytesMax)
	case e.Size < 0:
		return fmt.Errorf("%w: size %d: must not be negative", ErrInvalid, e.Size)
	}
	return nil
}

// sized reports whether events of type t carry a size.
func sized(t event.Type) bool { return t == event.Up || t == event.Down || t == event.OTA }

// bytes returns the size that e is counted by.
func (e *Event) bytes() int64 {
	if e.Size == 0 {
		return int64(len(e.Payload))
	}
	return e.Size
}
