package record

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// headVersion is the first byte of every head that is written; headVersionMin of the oldest one that is read: its
// totals do not say what would have been denied.
const (
	headVersion    = 5
	headVersionMin = 4
)

// Head is what a group says as a whole.
type Head struct {
	SerialLast uint64 // the last serial of a licence that was given out
	// Totals are those of every bucket that the group's events touched, after them, ascending.
	Totals  []BucketTotals
	Changes [][]byte // administrative changes, opaque here, that took effect as the group was sealed, in order
}

// Append appends the encoded head to dst.
func (h *Head) Append(dst []byte) []byte {
	dst = append(dst, headVersion)
	dst = binary.AppendUvarint(dst, h.SerialLast)
	dst = binary.AppendUvarint(dst, uint64(len(h.Totals)))
	for i := range h.Totals {
		dst = binary.AppendUvarint(dst, uint64(h.Totals[i].Product))
		dst = binary.AppendUvarint(dst, uint64(h.Totals[i].Quarter))
		dst = binary.AppendUvarint(dst, uint64(h.Totals[i].Day))
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
	if len(b) == 0 || b[0] < headVersionMin || b[0] > headVersion {
		return Head{}, fmt.Errorf("group head has no version from %d to %d", headVersionMin, headVersion)
	}
	r := reader{b: b[1:]}
	h := Head{SerialLast: r.uvarint()}
	n := r.uvarint()
	for i := uint64(0); i < n && r.err == nil; i++ {
		t := BucketTotals{Bucket: Bucket{Product: uint32(r.uvarint()), Quarter: uint32(r.uvarint())}}
		t.Day = uint32(r.uvarint())
		if t.Day > DayMax && r.err == nil {
			r.err = fmt.Errorf("day %d", t.Day)
		}
		t.Totals = r.totals()
		h.Totals = append(h.Totals, t)
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
