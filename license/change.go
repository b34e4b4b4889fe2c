package license

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/meterd/meterd/event"
)

// Actor is who changes something, and when.
type Actor struct {
	Token string
	AtMs  int64 // Unix milliseconds
	// Reservation is the number that cell 0 has reserved the name under which is made or taken away; 0: none. With
	// MustReserve what is in order but for that is refused with ErrReserve. Both are for cells of a cluster.
	Reservation uint64
	MustReserve bool
}

// Change is one administrative change as the log keeps it: its result, never a command to run again.
type Change struct {
	Seq   uint64     // its number: one more than that of the change before
	AtMs  int64      // Unix milliseconds
	Puts  []Put      // the records of what it changed, as they stand after it
	Audit AuditEntry // Action "": none
	// Refresh is the product whose gateways forget the denials that they remember, 0 for none: something was credited or
	// its plan was changed.
	Refresh uint32
	// Device, when not nil, is the device that the change suspends or lets go: the device table has that, not the
	// catalogue.
	Device *DeviceSuspension
}

// DeviceSuspension says whether a device is suspended.
type DeviceSuspension struct {
	Product   uint32
	Device    string
	Suspended bool
}

// change begins the change that leads to n, with its audit entry.
func (n *Catalogue) change(by Actor, action, target string, detail any) *Change {
	return &Change{Seq: n.Seq, AtMs: by.AtMs, Audit: AuditEntry{
		Seq: n.Seq, AtMs: by.AtMs, Token: by.Token, Action: action, Target: target, Detail: mustJSON(detail),
	}}
}

func (ch *Change) put(p Put) { ch.Puts = append(ch.Puts, p) }

func (ch *Change) refresh(p *Product) { ch.Refresh, ch.Audit.Refresh = p.ID, p.ID }

// actionCreateProduct is in the audit log, and marks the change that creates a product.
const actionCreateProduct = "product.create"

// CreatedProduct returns the ordinal of the product that the change creates, 0 if it creates none.
func (ch *Change) CreatedProduct() uint32 {
	if ch.Audit.Action == actionCreateProduct {
		for _, p := range ch.Puts {
			if len(p.Key) == 1+4 && p.Key[0] == keyProduct {
				return binary.BigEndian.Uint32(p.Key[1:])
			}
		}
	}
	return 0
}

// Note is a change of nothing but the audit log: something outside the catalogue was done.
func (c *Catalogue) Note(by Actor, action, target string, detail any) (*Catalogue, *Change) {
	n := c.next()
	return n, n.change(by, action, target, detail)
}

// changeVersion is the first byte of an encoded change.
const changeVersion = 1

// Append appends the change as the log keeps it (FORMAT.md).
func (ch *Change) Append(dst []byte) []byte {
	dst = append(dst, changeVersion)
	dst = binary.AppendUvarint(dst, ch.Seq)
	dst = binary.AppendVarint(dst, ch.AtMs)
	dst = binary.AppendUvarint(dst, uint64(ch.Refresh))
	if d := ch.Device; d == nil {
		dst = binary.AppendUvarint(dst, 0)
	} else {
		dst = binary.AppendUvarint(dst, uint64(d.Product))
		dst = appendText(dst, d.Device)
		dst = append(dst, flag(d.Suspended))
	}
	dst = appendText(dst, ch.Audit.Action)
	if ch.Audit.Action != "" {
		dst = appendText(dst, ch.Audit.Token)
		dst = appendText(dst, ch.Audit.Target)
		dst = appendText(dst, ch.Audit.Detail)
	}
	dst = binary.AppendUvarint(dst, uint64(len(ch.Puts)))
	for i := range ch.Puts {
		dst = appendText(dst, ch.Puts[i].Key)
		dst = appendText(dst, ch.Puts[i].Value)
	}
	return dst
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func appendText[T ~string | ~[]byte](dst []byte, text T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// DecodeChange reads what Append wrote; nothing may follow it. It keeps nothing of b.
func DecodeChange(b []byte) (Change, error) {
	if len(b) == 0 || b[0] != changeVersion {
		return Change{}, errors.New("an administrative change has a version that this program does not know")
	}
	r := changeReader{rest: append([]byte(nil), b[1:]...)} // Texts stay parts of the copy.
	ch := Change{Seq: r.number(), AtMs: r.signed(), Refresh: r.ordinal()}
	if product := r.ordinal(); product != 0 {
		ch.Device = &DeviceSuspension{Product: product, Device: string(r.text()), Suspended: r.flag()}
	}
	if action := string(r.text()); action != "" {
		ch.Audit = AuditEntry{
			Seq: ch.Seq, AtMs: ch.AtMs, Action: action, Token: string(r.text()), Target: string(r.text()), Detail: r.text(),
			Refresh: ch.Refresh,
		}
	}
	puts := r.number()
	if puts > uint64(len(r.rest)) { // Each has a byte at least, so that no number makes us allocate without end.
		r.damaged = true
	}
	if !r.damaged && puts > 0 {
		ch.Puts = make([]Put, 0, puts)
		for range puts {
			ch.Puts = append(ch.Puts, Put{Key: r.text(), Value: r.text()})
		}
	}
	if r.damaged || len(r.rest) > 0 {
		return Change{}, fmt.Errorf("administrative change %d is damaged", ch.Seq)
	}
	return ch, nil
}

// changeReader takes fields from the front of rest; after the first that is damaged all are empty.
type changeReader struct {
	rest    []byte
	damaged bool
}

func (r *changeReader) number() uint64 { return took(r, binary.Uvarint) }

func (r *changeReader) signed() int64 { return took(r, binary.Varint) }

func took[N uint64 | int64](r *changeReader, read func([]byte) (N, int)) N {
	v, n := read(r.rest)
	if n <= 0 || r.damaged {
		r.damaged = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *changeReader) ordinal() uint32 {
	v := r.number()
	if v > productIDMax {
		r.damaged = true
		return 0
	}
	return uint32(v)
}

func (r *changeReader) flag() bool {
	v := r.number()
	r.damaged = r.damaged || v > 1
	return v == 1
}

func (r *changeReader) text() []byte {
	n := r.number()
	if r.damaged || n > uint64(len(r.rest)) {
		r.damaged = true
		return nil
	}
	text := r.rest[:n:n]
	r.rest = r.rest[n:]
	return text
}

func badName(field string) error {
	return &event.Problem{
		Code: event.InvalidArgument, Field: field,
		Detail: field + ": must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -",
	}
}

func invalid(field, detail string) error {
	return &event.Problem{Code: event.InvalidArgument, Field: field, Detail: field + ": " + detail}
}
