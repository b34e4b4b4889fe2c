package archive

import (
	"cmp"
	"slices"
	"strings"
)

// Erasure says that topic and payload of a device's rows are to be read by nobody any more, and to leave the disk.
type Erasure struct {
	Product uint32
	Name    string
	Known   bool // the device had an ordinal when it was erased last
	Ordinal uint64
	Seq     uint64 // numbers of erasures grow, also when one that was there is renewed
	SinceMs int64  // when it was first erased: how old the promise is
	UntilMs int64  // rows decided until then are concerned, this millisecond included
}

// Erasures are those of one instant. They never change, and are safe for concurrent use. nil are none.
type Erasures struct {
	seq     uint64
	list    []Erasure
	known   map[Device]int64     // until
	unknown map[Device][]Erasure // names may share a hash
}

// NewErasures returns a set that is complete up to number seq. It keeps list.
func NewErasures(seq uint64, list []Erasure) *Erasures {
	e := &Erasures{seq: seq, list: list, known: map[Device]int64{}, unknown: map[Device][]Erasure{}}
	// In the order of devices, in which directories lie.
	slices.SortFunc(list, func(a, b Erasure) int {
		return cmp.Or(cmp.Compare(a.Product, b.Product), strings.Compare(a.Name, b.Name))
	})
	for _, x := range list {
		d := Unknown(x.Product, []byte(x.Name))
		e.unknown[d] = append(e.unknown[d], x)
		if x.Known {
			e.known[Known(x.Product, x.Ordinal)] = x.UntilMs
		}
	}
	return e
}

// Covers reports whether topic and payload of a row are erased.
func (e *Erasures) Covers(r *Row) bool {
	if e == nil || len(e.list) == 0 {
		return false
	}
	if r.Device.IsKnown() {
		return r.DecidedMs <= e.known[r.Device]
	}
	for i := range e.unknown[r.Device] {
		if x := &e.unknown[r.Device][i]; x.Name == string(r.Name) {
			return r.DecidedMs <= x.UntilMs
		}
	}
	return false
}

// Erase takes topic and payload from a row. That a payload was there is still told.
func (r *Row) Erase() {
	r.IsCut = r.IsCut || len(r.Payload) > 0
	r.Topic, r.Payload = nil, nil
}

// behind returns the erasures that are newer than number seq and concern rows from an instant on.
func (e *Erasures) behind(seq uint64, fromMs int64) (list []Erasure) {
	if e == nil || e.seq <= seq {
		return nil
	}
	for _, x := range e.list {
		if x.Seq > seq && x.UntilMs >= fromMs {
			list = append(list, x)
		}
	}
	return list
}

// oldestMs returns when the oldest of some erasures was promised.
func oldestMs(list []Erasure) int64 {
	return slices.MinFunc(list, func(a, b Erasure) int { return cmp.Compare(a.SinceMs, b.SinceMs) }).SinceMs
}

// SetErasures says what is erased, durably: it is what directories are written by from now on. Readers bring what they
// know themselves.
func (s *Store) SetErasures(e *Erasures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erasures = e
}
