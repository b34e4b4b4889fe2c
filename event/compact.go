package event

import (
	"encoding/binary"
	"errors"
)

// The first byte of a compact result. Version 1 writes the verdict of every denial, although most have that of the one
// before: a batch that is denied whole took 20 bytes an event, and takes 1. What would have been denied stands behind
// the denials, in the version that says so.
const (
	compactVersion     = 2
	compactWithObserve = 3
)

const (
	// verdictBytesMax is the longest verdict: code, scope, fault, mask; three numbers of 32 bits and one of 64; the byte
	// before the window, a start until the year 4199 and a length of at most a month.
	verdictBytesMax = 4 + 3*5 + 10 + 1 + 6 + 5
	// denialBytesMax has the step before it: EventsMax doubled takes three bytes.
	denialBytesMax = 3 + verdictBytesMax
)

// CompactBytesMax returns how long Append's result for so many events can be.
func CompactBytesMax(events int) int { return 1 + 3 + verdictBytesMax + 3 + 3 + events*denialBytesMax }

// Append appends the result as it is remembered for a gateway that asks again: everything that its answer is made of.
func (r *Result) Append(dst []byte) []byte {
	version := byte(compactVersion)
	if len(r.WouldDeny) > 0 {
		version = compactWithObserve
	}
	dst = binary.AppendUvarint(append(dst, version), uint64(r.Accepted))
	dst = appendDenials(r.Last.append(dst), r.Denials)
	if version == compactWithObserve {
		dst = appendDenials(dst, r.WouldDeny)
	}
	return dst
}

func appendDenials(dst []byte, list []Denial) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(list)))
	var before Denial
	for i := range list {
		d := &list[i]
		step := uint64(d.Index-before.Index) << 1
		if d.Verdict == before.Verdict {
			dst = binary.AppendUvarint(dst, step|1)
		} else {
			dst = d.Verdict.append(binary.AppendUvarint(dst, step))
		}
		before = *d
	}
	return dst
}

// append appends a verdict. Numbers that its code does not call for are mostly 0: a byte each says so, none of them if
// all are.
func (v *Verdict) append(dst []byte) []byte {
	numbers := v.numbers()
	var mask byte
	for i, n := range numbers {
		if *n != 0 {
			mask |= 1 << i
		}
	}
	dst = append(dst, byte(v.Code), byte(v.Scope), byte(v.Fault), mask)
	for _, n := range numbers {
		if *n != 0 {
			dst = binary.AppendUvarint(dst, *n)
		}
	}
	if v.WindowStartMs != 0 || v.ResetsAtMs != 0 {
		dst = append(dst, 1)
		dst = binary.AppendVarint(dst, v.WindowStartMs)
		return binary.AppendVarint(dst, v.ResetsAtMs-v.WindowStartMs)
	}
	return append(dst, 0)
}

func (v *Verdict) numbers() [4]*uint64 {
	return [4]*uint64{&v.Limit, &v.Used, &v.Requested, &v.TopupAvailable}
}

var errCompact = errors.New("a remembered result is damaged")

// Decode reads what Append wrote. b is not kept.
func (r *Result) Decode(b []byte) error {
	r.Reset()
	d := compact{b: b}
	version := d.byte()
	if version < 1 || version > compactWithObserve {
		return errCompact
	}
	r.Accepted = int(d.uvarint())
	d.verdict(&r.Last)
	r.Denials = d.denials(r.Denials, version)
	if version == compactWithObserve {
		r.WouldDeny = d.denials(r.WouldDeny, version)
		d.bad = d.bad || len(r.WouldDeny) == 0
	}
	if d.bad || len(d.b) != 0 || r.Accepted > EventsMax {
		r.Reset()
		return errCompact
	}
	return nil
}

// denials appends a list of denials to list.
func (d *compact) denials(list []Denial, version byte) []Denial {
	index, before := uint64(0), Verdict{}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		step, isSame := d.uvarint(), uint64(0)
		if version > 1 {
			step, isSame = step>>1, step&1
		}
		if isSame == 0 {
			before = Verdict{}
			d.verdict(&before)
		}
		index += step
		list = append(list, Denial{Index: int(index), Verdict: before})
	}
	d.bad = d.bad || index > EventsMax
	return list
}

// compact takes values from the front of a compact result.
type compact struct {
	b   []byte
	bad bool
}

func (d *compact) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *compact) uvarint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *compact) varint() int64 {
	n := d.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *compact) verdict(v *Verdict) {
	v.Code, v.Scope, v.Fault = Code(d.byte()), Scope(d.byte()), Fault(d.byte())
	if v.Scope > ScopeAccount || v.Fault >= Faults {
		d.bad = true
		return
	}
	mask := d.byte()
	for i, n := range v.numbers() {
		if mask&(1<<i) != 0 {
			*n = d.uvarint()
		}
	}
	if d.byte() == 1 {
		v.WindowStartMs = d.varint()
		v.ResetsAtMs = v.WindowStartMs + d.varint()
	}
}
