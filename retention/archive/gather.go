package archive

import (
	"errors"
	"fmt"
	"maps"
)

// group is the one that is gathered.
type group struct {
	firstMs       int64
	ties          Ties
	first, others uint32 // Tie of the rows of its first millisecond, and of the others
	logDays       map[uint32]uint32
}

// tie returns the Tie of a row that was decided at an instant.
func (g *group) tie(decidedMs int64) uint32 {
	if decidedMs == g.firstMs {
		return g.first
	}
	return g.others
}

// ErrNoRoom says that a run waits for room on the disk.
var ErrNoRoom = errors.New("the disk has no room for what is to be archived")

// Group begins the next group. Its rows follow with Add, then End.
func (s *Store) Group(seq uint64, firstMs, lastMs int64) error {
	if want := s.gathered.at.Seq + 1; seq != want {
		return fmt.Errorf("group %d comes where group %d must", seq, want)
	}
	s.group = group{firstMs: firstMs, ties: s.gathered.ties}
	s.group.first, s.group.others = s.group.ties.Next(seq, firstMs, lastMs)
	return nil
}

// Add adds a row of the group, whose Tie it sets; Order and LogDays are found later. Slices are copied. The product of
// a known device need not be set.
func (s *Store) Add(r *Row) {
	r.Tie = s.group.tie(r.DecidedMs)
	if s.memory.overlong() {
		s.orderLast()
	}
	s.memory.add(r, s.group.firstMs, s.gathered.logDays)
}

// orderLast orders the last batch.
func (s *Store) orderLast() {
	m := &s.memory
	last := len(m.batches) - 1
	m.batches[last] = m.ordered(&m.batches[last], s.product)
}

// SetProducts says who knows the product of a device with an ordinal. It comes before the first group.
func (s *Store) SetProducts(product func(ordinal uint64) uint32) { s.product = product }

// SetRest says what is called every few hundred microseconds of long work, by the goroutine that gathers and by the one
// that calls Tidy: each may rest in it, so that others have the processors and the disk. It comes before they begin.
func (s *Store) SetRest(gather, tidy func()) {
	s.rest, s.restTidy, s.memory.rest = gather, tidy, gather
}

// SetLogDays says that a product's plan has other log days from behind the group on.
func (s *Store) SetLogDays(product, days uint32) {
	if s.group.logDays == nil {
		s.group.logDays = map[uint32]uint32{}
	}
	s.group.logDays[product] = days
}

// End ends the group: from now on its rows can be read.
func (s *Store) End(at Position, lastMs int64) {
	next := mark{at: at, lastMs: lastMs, ties: s.group.ties, logDays: s.gathered.logDays}
	m := &s.memory
	if len(s.group.logDays) > 0 {
		next.logDays = maps.Clone(next.logDays)
		maps.Copy(next.logDays, s.group.logDays)
		if n := len(m.batches); n > 0 && m.batches[n-1].packed == nil { // Rows of other log days stand in another batch.
			s.orderLast()
		}
	}
	if m.full() {
		s.orderLast()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firstMs == 0 {
		s.firstMs = s.group.firstMs
	}
	s.gathered, s.shownMs = next, m.baseMs
	from := max(0, len(s.shown)-1) // What was shown last has grown or was ordered.
	s.shown = append(s.shown[:from], m.batches[from:]...)
}

// Due reports whether what was gathered is to be written as a run: memory is full, it is old, or a span has ended.
// nowMs is the time that meterd decides by.
func (s *Store) Due(nowMs int64) bool {
	s.mu.Lock()
	first, last := s.firstMs, s.gathered.lastMs
	isAwaited := s.m.position.Seq < s.mustReach && s.gathered.at.Seq >= s.mustReach
	s.mu.Unlock()
	switch {
	case isAwaited:
		return true
	case first == 0:
		return false
	case s.memory.bytes() >= s.o.memoryBytes, last-first >= 1<<31:
		return true
	}
	return nowMs-first >= s.runAgeMs() || s.span(nowMs) != s.span(first)
}

// WriteRun writes what was gathered as a run, and moves the position.
func (s *Store) WriteRun() error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	m := &s.memory
	var made []directory
	if m.rows > 0 {
		for i := range m.batches {
			if b := &m.batches[i]; b.packed == nil {
				*b = m.ordered(b, s.product)
			}
		}
		d, err := s.writeRun()
		if err != nil {
			return fmt.Errorf("archive groups up to %d: %w", s.gathered.at.Seq, err)
		}
		made = append(made, d)
	}
	to := s.gathered
	err := s.update(func(next *manifest) {
		next.position, next.positionMs, next.ties, next.logDays = to.at, to.lastMs, to.ties, to.logDays
		next.directories = append(next.directories, made...)
	}, func() {
		m.reset()
		s.shown, s.firstMs = nil, 0
	})
	if err != nil {
		return fmt.Errorf("archive groups up to %d: %w", to.at.Seq, err)
	}
	for i := range made {
		s.stats.runs.Add(1)
		s.stats.rows.Add(made[i].rows)
	}
	return nil
}

var errClosed = errors.New("the archive is closed")

// begin begins a call that Close waits for, or says why there can be none.
func (s *Store) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failure != nil:
		return s.failure
	case s.closed:
		return errClosed
	}
	s.calls.Add(1)
	return nil
}

func (s *Store) writeRun() (directory, error) {
	if err := s.needs(uint64(s.memory.bytes())); err != nil {
		return directory{}, err
	}
	d := directory{level: levelRun, number: s.newNumber(), span: s.span(s.memory.baseMs)}
	w, err := s.newWriter(d, s.rest)
	if err != nil {
		return d, err
	}
	if err := s.memory.each(func(b *batch) error { return w.addRows(b, s.memory.baseMs) }); err != nil {
		return d, w.fail(err)
	}
	return w.finish()
}

// needs refuses to write so many bytes when there is no room for them.
func (s *Store) needs(bytes uint64) error {
	if room, need := s.o.Room(), bytes+bytes/spacePart+spaceMin; room < need {
		return fmt.Errorf("%w: %d bytes may be written, %d are needed", ErrNoRoom, room, need)
	}
	return nil
}
