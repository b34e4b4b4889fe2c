package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// QuarterMs is the length of the finest window of usage: a quarter of an hour, in which every time zone's hours begin.
const QuarterMs = 15 * 60 * 1000

// Totals are the usage of one product in one quarter of an hour, counted from the quarter's start. They only grow, so
// that recovery joins them by maximum, field by field.
type Totals struct {
	MessagesUp, MessagesDown, MessagesDenied uint64 // units; denied by the quota (R11)
	OTAAllowance, OTAPacks, OTADenied        uint64 // units; denied upgrades are counted by their number
	VoidAllowance, VoidPacks                 uint64 // units given back (R17)
	Licenses                                 uint64 // consumed
	Activations                              uint64 // licences consumed by a device's first connect ever
}

func (t *Totals) fields() [10]*uint64 {
	return [10]*uint64{
		&t.MessagesUp, &t.MessagesDown, &t.MessagesDenied, &t.OTAAllowance, &t.OTAPacks, &t.OTADenied,
		&t.VoidAllowance, &t.VoidPacks, &t.Licenses, &t.Activations,
	}
}

// Add adds d to t, field by field.
func (t *Totals) Add(d *Totals) {
	for i, f := range t.fields() {
		*f += *d.fields()[i]
	}
}

// Join raises t to d where d is larger.
func (t *Totals) Join(d *Totals) {
	for i, f := range t.fields() {
		*f = max(*f, *d.fields()[i])
	}
}

// Append appends t's fields as uvarints.
func (t *Totals) Append(dst []byte) []byte {
	for _, f := range t.fields() {
		dst = binary.AppendUvarint(dst, *f)
	}
	return dst
}

func (r *reader) totals() (t Totals) {
	for _, f := range t.fields() {
		*f = r.uvarint()
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

// Quarter names a product's quarter of an hour: Number counts quarters of an hour since the Unix epoch.
type Quarter struct {
	Product uint32
	Number  uint32
}

// QuarterTotals are the totals of a quarter.
type QuarterTotals struct {
	Quarter
	Totals
}

// Head is what a group says as a whole.
type Head struct {
	SerialLast uint64          // the last serial of a licence that was given out
	Totals     []QuarterTotals // of every product that the group's events touched, after the group
	Changes    [][]byte        // administrative changes, opaque here, that took effect as the group was sealed, in order
}

// Append appends the encoded head to dst.
func (h *Head) Append(dst []byte) []byte {
	dst = append(dst, Version)
	dst = binary.AppendUvarint(dst, h.SerialLast)
	dst = binary.AppendUvarint(dst, uint64(len(h.Totals)))
	for i := range h.Totals {
		dst = binary.AppendUvarint(dst, uint64(h.Totals[i].Product))
		dst = binary.AppendUvarint(dst, uint64(h.Totals[i].Number))
		dst = h.Totals[i].Totals.Append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(h.Changes)))
	for _, change := range h.Changes {
		dst = binary.AppendUvarint(dst, uint64(len(change)))
		dst = append(dst, change...)
	}
	return dst
}

// DecodeHead reads what Append wrote. Changes are in place.
func DecodeHead(b []byte) (Head, error) {
	if len(b) == 0 || b[0] != Version {
		return Head{}, fmt.Errorf("group head has not version %d", Version)
	}
	r := reader{b: b[1:]}
	h := Head{SerialLast: r.uvarint()}
	n := r.uvarint()
	for i := uint64(0); i < n && r.err == nil; i++ {
		q := QuarterTotals{Quarter: Quarter{Product: uint32(r.uvarint()), Number: uint32(r.uvarint())}}
		q.Totals = r.totals()
		h.Totals = append(h.Totals, q)
	}
	for n := r.uvarint(); n > 0 && r.err == nil; n-- {
		h.Changes = append(h.Changes, r.bytes(r.uvarint()))
	}
	if r.err == nil && len(r.b) > 0 {
		r.err = errors.New("bytes behind the last change")
	}
	if r.err != nil {
		return Head{}, fmt.Errorf("group head: %w", r.err)
	}
	return h, nil
}
