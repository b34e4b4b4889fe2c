package wire

import (
	"encoding/binary"
	"fmt"

	"github.com/meterd/meterd/event"
)

// What frames of a stream carry beside batches. The daemon appends what gateways decode, and the other way round.

// Refusal is a meterd.v1.Problem: why a batch was refused whole.
type Refusal struct {
	Status       uint32 // as over HTTP
	Code         string
	Title        string
	Detail       string
	RetryAfterMs uint32 // 0: sending it again does not help
	Field        string
}

// AppendRefusal appends a problem as a meterd.v1.Problem. retryAfterMs is 0 if sending again does not help.
func AppendRefusal(dst []byte, p *event.Problem, retryAfterMs uint32) []byte {
	dst = appendUint(dst, 1, uint64(p.Code.Status()))
	dst = appendText(dst, 2, p.Code.String())
	dst = appendText(dst, 3, p.Code.Title())
	dst = appendText(dst, 4, p.Detail)
	dst = appendUint(dst, 5, uint64(retryAfterMs))
	return appendText(dst, 6, p.Field)
}

// DecodeRefusal reads a meterd.v1.Problem.
func DecodeRefusal(b []byte) (r Refusal, err error) {
	err = eachField(b, func(f *pbField) error {
		switch f.number {
		case 1:
			return f.into32(&r.Status)
		case 2:
			return f.intoText(&r.Code)
		case 3:
			return f.intoText(&r.Title)
		case 4:
			return f.intoText(&r.Detail)
		case 5:
			return f.into32(&r.RetryAfterMs)
		case 6:
			return f.intoText(&r.Field)
		}
		return nil
	})
	return r, err
}

// The types of commands.
const (
	CommandDisconnect = "disconnect"
	CommandRefresh    = "refresh"
)

// Command is a meterd.v1.Command.
type Command struct {
	ID      string
	Type    string // CommandDisconnect, CommandRefresh; new ones may appear
	Product string
	Device  string // with CommandDisconnect
	Reason  string // with CommandDisconnect
}

// AppendCommand appends a meterd.v1.Command.
func AppendCommand(dst []byte, c *Command) []byte {
	dst = appendText(dst, 1, c.ID)
	dst = appendText(dst, 2, c.Type)
	dst = appendText(dst, 3, c.Product)
	dst = appendText(dst, 4, c.Device)
	return appendText(dst, 5, c.Reason)
}

// DecodeCommand reads a meterd.v1.Command.
func DecodeCommand(b []byte) (c Command, err error) {
	err = eachField(b, func(f *pbField) error {
		switch f.number {
		case 1:
			return f.intoText(&c.ID)
		case 2:
			return f.intoText(&c.Type)
		case 3:
			return f.intoText(&c.Product)
		case 4:
			return f.intoText(&c.Device)
		case 5:
			return f.intoText(&c.Reason)
		}
		return nil
	})
	return c, err
}

// Welcome is a meterd.v1.Welcome, the daemon's first frame.
type Welcome struct {
	HasSequences     bool // sequences of the producer are remembered: LastSequence and OldestRemembered say which
	LastSequence     uint64
	OldestRemembered uint64
	Credit           uint32
	CreditBytes      uint64
	EventsMax        uint32
	FrameBytesMax    uint64
	IdleMs           uint32
	CommandsCredit   uint32
}

// AppendWelcome appends a meterd.v1.Welcome.
func AppendWelcome(dst []byte, w *Welcome) []byte {
	if w.HasSequences { // Also 0 is said.
		dst = binary.AppendUvarint(append(dst, 1<<3|wireVarint), w.LastSequence)
		dst = binary.AppendUvarint(append(dst, 2<<3|wireVarint), w.OldestRemembered)
	}
	dst = appendUint(dst, 3, uint64(w.Credit))
	dst = appendUint(dst, 4, w.CreditBytes)
	dst = appendUint(dst, 5, uint64(w.EventsMax))
	dst = appendUint(dst, 6, w.FrameBytesMax)
	dst = appendUint(dst, 7, uint64(w.IdleMs))
	return appendUint(dst, 8, uint64(w.CommandsCredit))
}

// DecodeWelcome reads a meterd.v1.Welcome.
func DecodeWelcome(b []byte) (w Welcome, err error) {
	err = eachField(b, func(f *pbField) error {
		switch f.number {
		case 1:
			w.HasSequences = true
			return f.into64(&w.LastSequence)
		case 2:
			return f.into64(&w.OldestRemembered)
		case 3:
			return f.into32(&w.Credit)
		case 4:
			return f.into64(&w.CreditBytes)
		case 5:
			return f.into32(&w.EventsMax)
		case 6:
			return f.into64(&w.FrameBytesMax)
		case 7:
			return f.into32(&w.IdleMs)
		case 8:
			return f.into32(&w.CommandsCredit)
		}
		return nil
	})
	return w, err
}

// AppendCount appends a meterd.v1.Credit or a meterd.v1.Ack: both are one number.
func AppendCount(dst []byte, n uint32) []byte { return appendUint(dst, 1, uint64(n)) }

// DecodeCount reads a meterd.v1.Credit or a meterd.v1.Ack. It does not allocate unless it returns an error.
func DecodeCount(b []byte) (n uint32, err error) {
	for len(b) > 0 {
		var f pbField
		if f, b, err = nextField(b); err != nil {
			return 0, err
		}
		if f.number == 1 {
			if err = f.into32(&n); err != nil {
				return 0, fmt.Errorf("field 1: %w", err)
			}
		}
	}
	return n, nil
}

// Denial is a meterd.v1.Denial.
type Denial struct {
	Index          uint32
	Code           string // one that is not known means denied, too
	Limit          uint64
	Used           uint64
	Requested      uint64
	TopupAvailable uint64
	ResetsAtMs     int64 // Unix milliseconds
	Scope          string
	Field          string
	Detail         string
}

// Answer is a meterd.v1.Answer, as gateways read it.
type Answer struct {
	Accepted  uint32
	Denied    []Denial
	WouldDeny []Denial // accepted, since their products only observe their quotas
}

// Decode reads a meterd.v1.Answer into a, whose memory is used again.
func (a *Answer) Decode(b []byte) error {
	a.Accepted, a.Denied, a.WouldDeny = 0, a.Denied[:0], a.WouldDeny[:0]
	return eachField(b, func(f *pbField) error {
		switch f.number {
		case 1:
			return f.into32(&a.Accepted)
		case 2:
			return f.intoDenials(&a.Denied)
		case 3:
			return f.intoDenials(&a.WouldDeny)
		}
		return nil
	})
}

func (f *pbField) intoDenials(to *[]Denial) error {
	if f.wire != wireBytes {
		return errWireType
	}
	*to = append(*to, Denial{})
	return (*to)[len(*to)-1].decode(f.text)
}

func (d *Denial) decode(b []byte) error {
	return eachField(b, func(f *pbField) error {
		switch f.number {
		case 1:
			return f.into32(&d.Index)
		case 2:
			return f.intoText(&d.Code)
		case 3:
			return f.into64(&d.Limit)
		case 4:
			return f.into64(&d.Used)
		case 5:
			return f.into64(&d.Requested)
		case 6:
			return f.into64(&d.TopupAvailable)
		case 7:
			var v uint64
			err := f.into64(&v)
			d.ResetsAtMs = int64(v)
			return err
		case 8:
			return f.intoText(&d.Scope)
		case 9:
			return f.intoText(&d.Field)
		case 10:
			return f.intoText(&d.Detail)
		}
		return nil
	})
}

// eachField calls take for each field of a message.
func eachField(b []byte, take func(*pbField) error) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err == nil {
			err = take(&f)
		}
		if err != nil {
			return fmt.Errorf("field %d: %w", f.number, err)
		}
		b = rest
	}
	return nil
}

func (f *pbField) intoText(to *string) (err error) {
	*to, err = f.string()
	return err
}

func (f *pbField) into64(to *uint64) (err error) {
	*to, err = f.uint()
	return err
}

// into32 cuts a number as the official codec does.
func (f *pbField) into32(to *uint32) error {
	v, err := f.uint()
	*to = uint32(v)
	return err
}
