package cells

import (
	"sync"

	"github.com/meterd/meterd/event"
)

// named is what the owner of cell 0 knows of a product's name.
type named struct {
	cell int // noCell: nobody has it
	// mayBeTold says that somebody may have been told within a day that nobody has it.
	mayBeTold bool
}

// told is which names of products cell 0's owner has said to be unknown. The answer and the creation of a product both
// pass it: a name is put down before the catalogue is looked at, so a product that comes later finds it.
//
// It is memory of one owner. Its successor does not know it, so it answers *perhaps* until a day has passed; so does
// one that would have to remember too much.
type told struct {
	mu      sync.Mutex
	atMs    map[string]int64 // when it was last said, Unix milliseconds
	sweptMs int64
	// allUntilMs is until when every name counts as told.
	allUntilMs int64
}

// note puts down that a name is about to be said to be unknown.
func (t *told) note(name string, nowMs int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.atMs == nil {
		t.atMs = map[string]int64{}
	}
	if _, known := t.atMs[name]; !known && len(t.atMs) >= toldMax {
		if t.sweep(nowMs); len(t.atMs) >= toldMax {
			t.allUntilMs = max(t.allUntilMs, nowMs+toldFor.Milliseconds())
			return
		}
	}
	t.atMs[name] = nowMs
}

// sweep forgets what was said too long ago. t.mu is held.
func (t *told) sweep(nowMs int64) {
	if nowMs-t.sweptMs < toldSweptEvery.Milliseconds() {
		return
	}
	t.sweptMs = nowMs
	for name, atMs := range t.atMs {
		if nowMs-atMs >= toldFor.Milliseconds() {
			delete(t.atMs, name)
		}
	}
}

// has reports whether a name may have been said to be unknown within a day.
func (t *told) has(name string, nowMs int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	atMs, known := t.atMs[name]
	return nowMs < t.allUntilMs || known && nowMs-atMs < toldFor.Milliseconds()
}

// settled are young products that nobody was ever told to be unknown: since they exist, nobody ever will be.
type settled struct {
	mu    sync.Mutex
	names map[string]struct{}
}

func (s *settled) has(name []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, found := s.names[string(name)]
	return found
}

func (s *settled) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) >= settledMax {
		s.names = map[string]struct{}{} // They are asked for again.
	}
	s.names[name] = struct{}{}
}

// names asks for products; tells says that whoever asks will tell those that are unknown.
func (w *writer) names(list []string, tells bool) {
	w.byte(version)
	w.bool(tells)
	w.uint(uint64(len(list)))
	for _, name := range list {
		w.text(name)
	}
}

func (r *reader) names() (list []string) {
	for range r.count(namesMax) {
		list = append(list, r.text(event.NameBytesMax))
	}
	return list
}

func (w *writer) named(list []named) {
	for _, n := range list {
		w.uint(uint64(n.cell + 1))
		w.bool(n.mayBeTold)
	}
}

func (r *reader) named(n int) []named {
	list := make([]named, n)
	for i := range list {
		list[i] = named{cell: int(min(r.uint(), cellsMax)) - 1, mayBeTold: r.bool()}
	}
	return list
}
