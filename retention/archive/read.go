package archive

import (
	"bytes"
	"context"
	"math"
	"slices"
)

// Query asks for rows of one device.
type Query struct {
	// Devices are the device as it stands with its ordinal, with its name, or both.
	Devices      []Device
	Name         []byte // for those without an ordinal
	FromMs, ToMs int64  // decided times, both included
	// After, when not zero, is the place behind which rows are wanted, in the direction of the query.
	After  Place
	Oldest bool // oldest first; else newest first
	// Wants is asked before a row's payload is read; nil: all are wanted. It keeps nothing.
	Wants func(*Row) bool
}

// wants reports whether a row of a device is wanted; its place is looked at elsewhere.
func (q *Query) wants(device Device, r *Row) bool {
	return (device.IsKnown() || bytes.Equal(r.Name, q.Name)) && (q.Wants == nil || q.Wants(r))
}

// Snapshot is the archive at one instant: what Gathered was then. It holds nothing on the disk.
type Snapshot struct {
	// Gathered is the last group that is in it, and Ties what the groups behind it count from.
	Gathered Position
	Ties     Ties

	s       *Store
	dirs    []directory
	batches []batch
	baseMs  int64
}

// Snapshot returns the archive as it is now.
func (s *Store) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Snapshot{
		Gathered: s.gathered.at, Ties: s.gathered.ties, s: s, dirs: s.m.directories, batches: slices.Clone(s.shown),
		baseMs: s.shownMs,
	}
}

// Each calls fn for the rows of q in their order until fn returns false. A row is valid until fn returns. ErrGone says
// that a directory was merged or removed meanwhile: go on behind the last row with another Snapshot. Nothing is held
// while fn runs.
func (x *Snapshot) Each(ctx context.Context, q *Query, fn func(*Row) bool) (more bool, err error) {
	sources, ahead := x.sources(q), ahead{n: announcedMin, oldest: q.Oldest}
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		next, err := ahead.first(sources)
		if err != nil || next == nil {
			return err == nil, err
		}
		r := next.row()
		next.skip()
		if !fn(r) {
			return false, nil
		}
	}
}

// source has the wanted rows of one device in one place, in the order of a query.
type source interface {
	// bound returns a place before which, in the order of the query, the source has no row; ended: it has none.
	bound() (at Place, ended bool)
	// ready reports whether there is a row, and load makes it so, or moves the bound.
	ready() bool
	load() error
	// announce has the disk read what load will need, and does not wait; isAnnounced is true until then.
	announce()
	isAnnounced() bool
	row() *Row
	skip()
}

// ahead has the disk read what several sources will need, before the first of them is waited for.
type ahead struct {
	n      int // how many at once: few at first, for a page may need no more
	oldest bool
	list   []source
}

// first returns the source with the next row, nil at the end. Only sources that may have it are loaded.
func (a *ahead) first(sources []source) (source, error) {
	for {
		best := nearest(sources, a.oldest)
		if best == nil || best.ready() {
			return best, nil
		}
		if !best.isAnnounced() {
			a.announce(sources)
		}
		if err := best.load(); err != nil {
			return nil, err
		}
	}
}

// announce announces the next sources that are to be loaded.
func (a *ahead) announce(sources []source) {
	a.list = a.list[:0]
	for _, s := range sources {
		if _, ended := s.bound(); !ended && !s.ready() && !s.isAnnounced() {
			a.list = append(a.list, s)
		}
	}
	slices.SortFunc(a.list, func(x, y source) int {
		p, _ := x.bound()
		q, _ := y.bound()
		if !a.oldest {
			p, q = q, p
		}
		return p.Compare(q)
	})
	for _, s := range a.list[:min(a.n, len(a.list))] {
		s.announce()
	}
	a.n = min(2*a.n, announcedMax)
}

// nearest returns the source whose bound comes first in the order of the query. Of two with the same bound it is the
// one that is not loaded: it may have an earlier row.
func nearest(sources []source, oldest bool) (best source) {
	var at Place
	for _, s := range sources {
		place, ended := s.bound()
		if ended {
			continue
		}
		c := place.Compare(at)
		if !oldest {
			c = -c
		}
		if best == nil || c < 0 || c == 0 && best.ready() && !s.ready() {
			best, at = s, place
		}
	}
	return best
}

func (x *Snapshot) sources(q *Query) (list []source) {
	w := newWindow(q)
	for i := range x.dirs {
		d := &x.dirs[i]
		if d.rows == 0 || d.lastMs < q.FromMs || d.firstMs > q.ToMs {
			continue
		}
		for _, device := range q.Devices {
			list = append(list, newBlockSource(&dirBlocks{s: x.s, dir: d}, d.firstMs, d.lastMs, device, q, w))
		}
	}
	for i := range x.batches {
		for _, device := range q.Devices {
			if p := x.batches[i].packed; p != nil {
				list = append(list, newBlockSource(p, p.firstMs, p.lastMs, device, q, w))
			} else {
				list = append(list, newMemorySource(&x.batches[i], x.baseMs, device, q, w))
			}
		}
	}
	return list
}

// window is what places a query takes, both included.
type window struct{ from, to Place }

func newWindow(q *Query) window {
	w := window{Place{q.FromMs, 0}, Place{q.ToMs, math.MaxUint64}}
	if q.After == (Place{}) {
		return w
	}
	if q.Oldest {
		if behind := q.After.next(); w.from.Compare(behind) < 0 {
			w.from = behind
		}
	} else if before := q.After.before(); w.to.Compare(before) > 0 {
		w.to = before
	}
	return w
}

func (p Place) next() Place {
	if p.Tie == math.MaxUint64 {
		return Place{DecidedMs: p.DecidedMs + 1}
	}
	return Place{p.DecidedMs, p.Tie + 1}
}

func (p Place) before() Place {
	if p.Tie == 0 {
		return Place{p.DecidedMs - 1, math.MaxUint64}
	}
	return Place{p.DecidedMs, p.Tie - 1}
}

func (w *window) has(p Place) bool { return p.Compare(w.from) >= 0 && p.Compare(w.to) <= 0 }

// memorySource reads the batch that is gathered.
type memorySource struct {
	batch  *batch
	own    batch // the device's rows, with the texts of batch
	baseMs int64
	device Device
	q      *Query
	w      window
	places []uint32 // Order of each row
	at     int      // the row after the next one, newest first; else the next one
	next   Row
	is     bool // next is
}

func newMemorySource(b *batch, baseMs int64, device Device, q *Query, w window) *memorySource {
	m := &memorySource{batch: b, baseMs: baseMs, device: device, q: q, w: w}
	m.own = batch{rows: b.of(device), texts: b.texts}
	var order Orders
	m.places = make([]uint32, len(m.own.rows))
	for i := range m.own.rows {
		x := &m.own.rows[i]
		r := Row{Device: device, DecidedMs: baseMs + int64(x.ms), Tie: x.tie}
		order.Number(&r)
		m.places[i] = r.Order
	}
	if !q.Oldest {
		m.at = len(m.own.rows)
	}
	m.advance()
	return m
}

// advance goes to the next row that the query wants.
func (m *memorySource) advance() {
	m.is = false
	for !m.is {
		i := m.at
		if m.q.Oldest {
			m.at++
		} else {
			m.at--
			i = m.at
		}
		if i < 0 || i >= len(m.own.rows) {
			return
		}
		m.own.row(&m.next, i, m.baseMs)
		m.next.Order = m.places[i]
		m.is = m.w.has(m.next.Place()) && m.q.wants(m.device, &m.next)
	}
}

func (m *memorySource) ready() bool          { return m.is }
func (m *memorySource) load() error          { return nil }
func (m *memorySource) announce()            {}
func (m *memorySource) isAnnounced() bool    { return true }
func (m *memorySource) bound() (Place, bool) { return m.next.Place(), !m.is }
func (m *memorySource) row() *Row            { r := m.next; return &r }
func (m *memorySource) skip()                { m.advance() }
