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
	WouldDeny                []Denied // accepted, since the product only observes its quotas
}

// Denied counts the events of one type that were denied, or would have been, with one code. Totals hold them by type
// and code, ascending.
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
func (t *Totals) Deny(typ event.Type, code event.Code, n uint64) { addTo(&t.Denied, typ, code, n) }

// Observe adds n events or units that were accepted and would have been denied.
func (t *Totals) Observe(typ event.Type, code event.Code, n uint64) {
	addTo(&t.WouldDeny, typ, code, n)
}

func addTo(list *[]Denied, typ event.Type, code event.Code, n uint64) {
	if n > 0 {
		*countOf(list, typ, code) += n
	}
}

// countOf returns the count of a type and code, to be changed.
func countOf(list *[]Denied, typ event.Type, code event.Code) *uint64 {
	i := 0
	for i < len(*list) && (*list)[i].compare(typ, code) < 0 {
		i++
	}
	if i == len(*list) || (*list)[i].compare(typ, code) != 0 {
		*list = slices.Insert(*list, i, Denied{Type: typ, Code: code})
	}
	return &(*list)[i].Count
}

// lists are the counts by type and code, in the order in which they are encoded.
func (t *Totals) lists() [2]*[]Denied { return [...]*[]Denied{&t.Denied, &t.WouldDeny} }

// DeniedWith returns how many events of a type, or units of messages, were denied with a code.
func (t *Totals) DeniedWith(typ event.Type, code event.Code) uint64 {
	return countIn(t.Denied, typ, code)
}

// WouldDenyWith returns how many events of a type, or units of messages, would have been denied with a code.
func (t *Totals) WouldDenyWith(typ event.Type, code event.Code) uint64 {
	return countIn(t.WouldDeny, typ, code)
}

func countIn(list []Denied, typ event.Type, code event.Code) uint64 {
	for i := range list {
		if list[i].compare(typ, code) == 0 {
			return list[i].Count
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
	more := d.lists()
	for i, list := range t.lists() {
		for _, x := range *more[i] {
			addTo(list, x.Type, x.Code, x.Count)
		}
	}
}

// Subtract takes d off t, field by field: what was used between two readings of one product's totals, of which d is the
// older one.
func (t *Totals) Subtract(d *Totals) {
	from := d.fields()
	for i, f := range t.fields() {
		*f -= *from[i]
	}
	less := d.lists()
	for i, list := range t.lists() {
		for _, x := range *less[i] {
			*countOf(list, x.Type, x.Code) -= x.Count
		}
		*list = slices.DeleteFunc(*list, func(x Denied) bool { return x.Count == 0 })
	}
}

// Join raises t to d where d is larger.
func (t *Totals) Join(d *Totals) {
	from := d.fields()
	for i, f := range t.fields() {
		*f = max(*f, *from[i])
	}
	other := d.lists()
	for i, list := range t.lists() {
		for _, x := range *other[i] {
			count := countOf(list, x.Type, x.Code)
			*count = max(*count, x.Count)
		}
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
	return slices.Equal(t.Denied, d.Denied) && slices.Equal(t.WouldDeny, d.WouldDeny)
}

// Clone returns a copy that shares nothing with t.
func (t *Totals) Clone() Totals {
	c := *t
	c.Denied, c.WouldDeny = slices.Clone(t.Denied), slices.Clone(t.WouldDeny)
	return c
}

// Reset makes t count nothing; it keeps its memory.
func (t *Totals) Reset() { *t = Totals{Denied: t.Denied[:0], WouldDeny: t.WouldDeny[:0]} }

// codeWouldDeny is the bit of a stored code that says that the quota would have denied, and did not.
const codeWouldDeny = 1 << 7

// Append appends t encoded (FORMAT.md).
func (t *Totals) Append(dst []byte) []byte {
	for _, f := range t.fields() {
		dst = binary.AppendUvarint(dst, *f)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Denied)+len(t.WouldDeny)))
	for i, list := range t.lists() {
		for _, d := range *list {
			dst = append(dst, byte(d.Type), byte(d.Code)|byte(i*codeWouldDeny))
			dst = binary.AppendUvarint(dst, d.Count)
		}
	}
	return dst
}

func (r *reader) totals() (t Totals) {
	for _, f := range t.fields() {
		*f = r.uvarint()
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		typ, code := event.Type(r.byte()), r.byte()
		d := Denied{Type: typ, Code: event.Code(code &^ codeWouldDeny), Count: r.uvarint()}
		list := t.lists()[code/codeWouldDeny]
		if *list == nil {
			*list = make([]Denied, 0, min(n, event.Types))
		}
		isLate := list == &t.Denied && len(t.WouldDeny) > 0
		if last := len(*list) - 1; (isLate || last >= 0 && (*list)[last].compare(d.Type, d.Code) >= 0) && r.err == nil {
			r.err = errors.New("denials are out of order")
		}
		*list = append(*list, d)
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
