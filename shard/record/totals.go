package record

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meterd/meterd/event"
)

// QuarterMs is the length of the finest window of usage: a quarter of an hour, in which every time zone's hours begin.
const QuarterMs = 15 * 60 * 1000

// Totals are what a product has used since it was created. They only grow, so that recovery joins them by maximum,
// field by field, and the usage of a window is a difference. Copies share Denied: Clone makes one that does not.
type Totals struct {
	MessagesUp, MessagesDown uint64 // units
	OTAAllowance, OTAPacks   uint64 // units
	VoidAllowance, VoidPacks uint64 // units given back (R17)
	Licenses                 uint64 // consumed
	Activations              uint64 // licences consumed by a device's first connect ever
	Denied                   []Denied
}

// Denied counts the events of one type that were denied with one code. Totals hold them by type and code, ascending.
type Denied struct {
	Type  event.Type
	Code  event.Code
	Count uint64 // units of messages (R13); of other types, events
}

func (d *Denied) compare(t event.Type, c event.Code) int {
	return cmp.Or(cmp.Compare(d.Type, t), cmp.Compare(d.Code, c))
}

const totalsFields = 8

func (t *Totals) fields() [totalsFields]*uint64 {
	return [...]*uint64{
		&t.MessagesUp, &t.MessagesDown, &t.OTAAllowance, &t.OTAPacks, &t.VoidAllowance, &t.VoidPacks, &t.Licenses,
		&t.Activations,
	}
}

// Deny adds n events or units that were denied.
func (t *Totals) Deny(typ event.Type, code event.Code, n uint64) {
	if n > 0 {
		*t.denied(typ, code) += n
	}
}

// denied returns the count of a type and code, to be changed.
func (t *Totals) denied(typ event.Type, code event.Code) *uint64 {
	i := 0
	for i < len(t.Denied) && t.Denied[i].compare(typ, code) < 0 {
		i++
	}
	if i == len(t.Denied) || t.Denied[i].compare(typ, code) != 0 {
		t.Denied = slices.Insert(t.Denied, i, Denied{Type: typ, Code: code})
	}
	return &t.Denied[i].Count
}

// DeniedWith returns how many events of a type, or units of messages, were denied with a code.
func (t *Totals) DeniedWith(typ event.Type, code event.Code) uint64 {
	for i := range t.Denied {
		if t.Denied[i].compare(typ, code) == 0 {
			return t.Denied[i].Count
		}
	}
	return 0
}

// MessagesDenied returns the units that the message quota denied (R11).
func (t *Totals) MessagesDenied() uint64 {
	return t.DeniedWith(event.Up, event.MessageQuotaExceeded) + t.DeniedWith(event.Down, event.MessageQuotaExceeded)
}

// OTADenied returns the upgrades that their quota denied (R16).
func (t *Totals) OTADenied() uint64 { return t.DeniedWith(event.OTA, event.OTAQuotaExceeded) }

// Add adds d to t, field by field.
func (t *Totals) Add(d *Totals) {
	from := d.fields()
	for i, f := range t.fields() {
		*f += *from[i]
	}
	for _, x := range d.Denied {
		t.Deny(x.Type, x.Code, x.Count)
	}
}

// Subtract takes d off t, field by field: what was used between two readings of one product's totals, of which d is the
// older one.
func (t *Totals) Subtract(d *Totals) {
	from := d.fields()
	for i, f := range t.fields() {
		*f -= *from[i]
	}
	for _, x := range d.Denied {
		*t.denied(x.Type, x.Code) -= x.Count
	}
	t.Denied = slices.DeleteFunc(t.Denied, func(x Denied) bool { return x.Count == 0 })
}

// Join raises t to d where d is larger.
func (t *Totals) Join(d *Totals) {
	from := d.fields()
	for i, f := range t.fields() {
		*f = max(*f, *from[i])
	}
	for _, x := range d.Denied {
		count := t.denied(x.Type, x.Code)
		*count = max(*count, x.Count)
	}
}

// Equal reports whether t and d count the same.
func (t *Totals) Equal(d *Totals) bool {
	from := d.fields()
	for i, f := range t.fields() {
		if *f != *from[i] {
			return false
		}
	}
	return slices.Equal(t.Denied, d.Denied)
}

// Clone returns a copy that shares nothing with t.
func (t *Totals) Clone() Totals {
	c := *t
	c.Denied = slices.Clone(t.Denied)
	return c
}

// Reset makes t count nothing; it keeps its memory.
func (t *Totals) Reset() { *t = Totals{Denied: t.Denied[:0]} }

// Append appends t encoded (FORMAT.md).
func (t *Totals) Append(dst []byte) []byte {
	for _, f := range t.fields() {
		dst = binary.AppendUvarint(dst, *f)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Denied)))
	for i := range t.Denied {
		d := &t.Denied[i]
		dst = append(dst, byte(d.Type), byte(d.Code))
		dst = binary.AppendUvarint(dst, d.Count)
	}
	return dst
}

func (r *reader) totals() (t Totals) {
	for _, f := range t.fields() {
		*f = r.uvarint()
	}
	n := r.uvarint()
	if n > 0 {
		t.Denied = make([]Denied, 0, min(n, event.Types))
	}
	for ; n > 0 && r.err == nil; n-- {
		d := Denied{Type: event.Type(r.byte()), Code: event.Code(r.byte()), Count: r.uvarint()}
		if last := len(t.Denied) - 1; last >= 0 && t.Denied[last].compare(d.Type, d.Code) >= 0 && r.err == nil {
			r.err = errors.New("denials are out of order")
		}
		t.Denied = append(t.Denied, d)
	}
	return t
}

// DecodeTotals reads what Append wrote.
func DecodeTotals(b []byte) (Totals, error) {
	r := reader{b: b}
	t := r.totals()
	if r.err == nil && len(r.b) > 0 {
		r.err = errors.New("bytes behind the last field")
	}
	if r.err != nil {
		return Totals{}, fmt.Errorf("totals: %w", r.err)
	}
	return t, nil
}

// Bucket is what usage of a product is kept by: a quarter of an hour and, since midnight may lie within one, the
// calendar day of the product's time zone. Of one product later events lie in the same bucket or in a later one.
type Bucket struct {
	Product uint32
	Quarter uint32 // of an hour, since the Unix epoch
	Day     uint32 // since 2020-01-01, at most DayMax
}

// DayMax is the last day that a bucket can have; days of the device table have 14 bits.
const DayMax = 1<<14 - 1

// Compare orders buckets by product, quarter and day.
func (b Bucket) Compare(c Bucket) int {
	return cmp.Or(cmp.Compare(b.Product, c.Product), cmp.Compare(b.Quarter, c.Quarter), cmp.Compare(b.Day, c.Day))
}

// BucketTotals are a product's totals after a bucket's last event.
type BucketTotals struct {
	Bucket
	Totals
}
