package verify

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The fields of totals, in the order in which they are stored.
const (
	totalUp = iota
	totalDown
	totalOTAAllowance
	totalOTAPacks
	totalVoidAllowance
	totalVoidPacks
	totalLicenses
	totalActivations
	totalFields
)

var totalNames = [totalFields]string{
	"units up", "units down", "OTA units of the allowance", "OTA units from packs", "units of the allowance given back",
	"pack units given back", "licences consumed", "activations",
}

// totals are what a product has used since it was created: they only grow.
type totals struct {
	fields [totalFields]uint64
	denied []denial // ascending
}

// denial counts what was denied; with codeWould in its code, what would have been.
type denial struct {
	typ, code byte
	count     uint64
}

// codeWould is the bit of a code that says that the quota would have denied, and did not.
const codeWould = 1 << 7

func (d denial) compare(e denial) int {
	return cmp.Or(
		cmp.Compare(d.code&codeWould, e.code&codeWould), cmp.Compare(d.typ, e.typ), cmp.Compare(d.code, e.code))
}

func (t *totals) deny(typ, code byte, n uint64) {
	if n == 0 {
		return
	}
	i, found := slices.BinarySearchFunc(t.denied, denial{typ: typ, code: code}, denial.compare)
	if !found {
		t.denied = slices.Insert(t.denied, i, denial{typ: typ, code: code})
	}
	t.denied[i].count += n
}

func (t *totals) add(d *totals) {
	for i := range t.fields {
		t.fields[i] += d.fields[i]
	}
	for _, x := range d.denied {
		t.deny(x.typ, x.code, x.count)
	}
}

// subtract takes d off t; where that is less than nothing it reports false.
func (t *totals) subtract(d *totals) bool {
	ok := true
	for i := range t.fields {
		ok = ok && t.fields[i] >= d.fields[i]
		t.fields[i] -= d.fields[i]
	}
	for _, x := range d.denied {
		i, found := slices.BinarySearchFunc(t.denied, x, denial.compare)
		if !found || t.denied[i].count < x.count {
			return false
		}
		t.denied[i].count -= x.count
	}
	return ok
}

func (t *totals) reset() { t.fields, t.denied = [totalFields]uint64{}, t.denied[:0] }

func (t *totals) clone() totals { return totals{fields: t.fields, denied: slices.Clone(t.denied)} }

// count returns one denial's count.
func (t *totals) count(typ, code byte) uint64 {
	if i, found := slices.BinarySearchFunc(t.denied, denial{typ: typ, code: code}, denial.compare); found {
		return t.denied[i].count
	}
	return 0
}

// compare calls differs for the first field that does not hold in (t, u), and reports whether all do.
func (t *totals) compare(u *totals, holds func(a, b uint64) bool, differs func(name string, a, b uint64)) bool {
	for i := range t.fields {
		if !holds(t.fields[i], u.fields[i]) {
			differs(totalNames[i], t.fields[i], u.fields[i])
			return false
		}
	}
	for _, list := range [][]denial{t.denied, u.denied} {
		for _, d := range list {
			if a, b := t.count(d.typ, d.code), u.count(d.typ, d.code); !holds(a, b) {
				differs(denialName(d.typ, d.code), a, b)
				return false
			}
		}
	}
	return true
}

func equal(a, b uint64) bool { return a == b }

var typeNames = [...]string{"", "connect", "disconnect", "up", "down", "ota", "ota_void"}

var codeNames = [...]string{
	"accepted", "message_quota_exceeded", "ota_quota_exceeded", "license_exhausted", "not_activated", "renewal_off",
	"suspended", "unknown_product", "unknown_ota", "already_voided", "ota_id_reused", "payload_too_large", "invalid_event",
}

func denialName(typ, code byte) string {
	name := func(names []string, n byte) string {
		if int(n) < len(names) {
			return names[n]
		}
		return fmt.Sprint(n)
	}
	verb := " denied with "
	if code&codeWould != 0 {
		verb = " that would be denied with "
	}
	return name(typeNames[:], typ) + verb + name(codeNames[:], code&^codeWould)
}

// decode reads totals as heads, checkpoints and the ledger have them.
func (t *totals) decode(in *input) {
	t.reset()
	for i := range t.fields {
		t.fields[i] = in.uvarint()
	}
	for n := in.uvarint(); n > 0 && in.err == nil; n-- {
		d := denial{typ: in.u8(), code: in.u8(), count: in.uvarint()}
		if last := len(t.denied) - 1; last >= 0 && t.denied[last].compare(d) >= 0 {
			in.fail(errors.New("denials are out of order"))
			return
		}
		t.denied = append(t.denied, d)
	}
}

// bucket is a quarter of an hour of a product, and the calendar day in it.
type bucket struct {
	product, quarter, day uint32
}

func (b bucket) order(c bucket) int {
	return cmp.Or(cmp.Compare(b.product, c.product), cmp.Compare(b.quarter, c.quarter), cmp.Compare(b.day, c.day))
}

const (
	quarterMs    = 15 * 60 * 1000
	quartersADay = 24 * 4
)

// bucketTotals are a product's totals after the last event of a bucket.
type bucketTotals struct {
	bucket
	totals
}

// headVersion is the version of heads that is read, and headVersionMin the oldest one.
const (
	headVersion    = 5
	headVersionMin = 4
)

// head is what a group says as a whole.
type head struct {
	version    byte
	serialLast uint64
	totals     []bucketTotals
	changes    [][]byte
}

// decodeHead reads the head of a group. Changes alias b.
func decodeHead(b []byte) (h head, err error) {
	in := input{b: b}
	if h.version = in.u8(); h.version < headVersionMin || h.version > headVersion {
		return h, fmt.Errorf("head: it has no version from %d to %d", headVersionMin, headVersion)
	}
	h.serialLast = in.uvarint()
	for n := in.uvarint(); n > 0 && in.err == nil; n-- {
		t := bucketTotals{bucket: bucket{product: in.u32(), quarter: in.u32(), day: uint32(in.upTo(1<<16 - 1))}}
		t.decode(&in)
		if last := len(h.totals) - 1; last >= 0 && h.totals[last].order(t.bucket) >= 0 {
			in.fail(errors.New("totals are out of order"))
		}
		h.totals = append(h.totals, t)
	}
	for n := in.uvarint(); n > 0 && in.err == nil; n-- {
		h.changes = append(h.changes, in.text())
	}
	if err := in.done(); err != nil {
		return h, fmt.Errorf("head: %w", err)
	}
	return h, nil
}

func (t *totals) String() string {
	var s []string
	for i, n := range t.fields {
		if n > 0 {
			s = append(s, fmt.Sprintf("%s %d", totalNames[i], n))
		}
	}
	for _, d := range t.denied {
		s = append(s, fmt.Sprintf("%s %d", denialName(d.typ, d.code), d.count))
	}
	return strings.Join(s, ", ")
}
