package archive

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"github.com/meterd/meterd/retention/disk"
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
	// Wants is asked before a row's payload is read; nil: all are wanted.
	Wants func(*Row) bool
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
	sources := x.sources(q)
	for {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		next, err := first(sources, q.Oldest)
		if err != nil || next == nil {
			return err == nil, err
		}
		r := next.row()
		next.skip()
		if q.Wants != nil && !q.Wants(r) {
			continue
		}
		if err := next.payload(r); err != nil {
			return false, err
		}
		if !fn(r) {
			return false, nil
		}
	}
}

// source has the rows of one device in one place, in the order of a query.
type source interface {
	// bound returns a place before which, in the order of the query, the source has no row; ended: it has none.
	bound() (at Place, ended bool)
	// ready reports whether there is a row, and load makes it so, or moves the bound.
	ready() bool
	load() error
	row() *Row
	skip()
	// payload sets the row's payload.
	payload(*Row) error
}

// first returns the source with the next row, nil at the end. Only sources that may have it are loaded.
func first(sources []source, oldest bool) (source, error) {
	for {
		var best source
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
			// Of two with the same bound the one that is not loaded comes first: it may have an earlier row.
			if best == nil || c < 0 || c == 0 && best.ready() && !s.ready() {
				best, at = s, place
			}
		}
		if best == nil || best.ready() {
			return best, nil
		}
		if err := best.load(); err != nil {
			return nil, err
		}
	}
}

func (x *Snapshot) sources(q *Query) (list []source) {
	w := newWindow(q)
	for i := range x.dirs {
		d := &x.dirs[i]
		if d.rows == 0 || d.lastMs < q.FromMs || d.firstMs > q.ToMs {
			continue
		}
		for _, device := range q.Devices {
			list = append(list, newDirSource(x.s, d, device, q, w))
		}
	}
	for i := range x.batches {
		for _, device := range q.Devices {
			list = append(list, newMemorySource(&x.batches[i], x.baseMs, device, q, w))
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

// dirSource reads one directory, block by block.
type dirSource struct {
	s      *Store
	dir    *directory
	device Device
	q      *Query
	w      window // what is left
	ended  bool
	key    entryKey // of the block that rows are of
	rows   []dirRow
	at     int
	// payloads is the inflated payload block of key, once a payload was wanted.
	payloads []byte
}

type dirRow struct {
	Row
	from, size int // of its payload
}

func newDirSource(s *Store, d *directory, device Device, q *Query, w window) *dirSource {
	if first := (Place{DecidedMs: d.firstMs}); w.from.Compare(first) < 0 {
		w.from = first
	}
	if last := (Place{d.lastMs, math.MaxUint64}); w.to.Compare(last) > 0 {
		w.to = last
	}
	return &dirSource{s: s, dir: d, device: device, q: q, w: w, ended: w.from.Compare(w.to) > 0}
}

func (d *dirSource) ready() bool { return d.at < len(d.rows) }

func (d *dirSource) bound() (Place, bool) {
	switch {
	case d.ready():
		return d.rows[d.at].Place(), false
	case d.q.Oldest:
		return d.w.from, d.ended
	}
	return d.w.to, d.ended
}

func (d *dirSource) row() *Row { return &d.rows[d.at].Row }

func (d *dirSource) skip() { d.at++ }

// load reads the next block that may have rows of the device.
func (d *dirSource) load() error {
	var stored []byte
	d.rows, d.at, d.payloads = d.rows[:0], 0, nil
	found := false
	err := d.s.look(d.dir.number, !d.q.Oldest || d.key == (entryKey{}), func(_ *openDir, it *badger.Iterator) error {
		it.Seek(d.target().append(nil, spaceRows))
		if !it.Valid() {
			return nil
		}
		key, space, err := decodeKey(it.Item().Key())
		if err != nil || space != spaceRows {
			return err
		}
		found, d.key = true, key
		stored, err = it.Item().ValueCopy(nil)
		return err
	})
	if err != nil {
		return err
	}
	if !found {
		// Oldest first, the search for the block that the window begins in may end before the first block.
		if d.q.Oldest && d.key == (entryKey{}) {
			d.key = entryKey{device: 1}
			return nil
		}
		d.ended = true
		return nil
	}
	raw, err := d.s.codec.unseal(nil, stored)
	if err == nil {
		err = d.take(raw)
	}
	if err != nil {
		return disk.Damage(filepath.Join(d.s.o.Path, d.dir.name()), "%v", err)
	}
	return nil
}

// target is what is sought: the last block that begins at or before the end of the window, or oldest first, once a
// block was read, the one behind it.
func (d *dirSource) target() entryKey {
	switch {
	case !d.q.Oldest:
		return entryKey{d.device, d.w.to}
	case d.key == (entryKey{}):
		return entryKey{d.device, d.w.from}
	}
	return entryKey{d.key.device, d.key.place.next()}
}

// take keeps the device's rows of a block, in the order of the query, and narrows the window to what is left.
func (d *dirSource) take(raw []byte) error {
	if d.q.Oldest && d.key.device > d.device {
		d.ended = true
		return nil
	}
	var b blockReader
	if err := b.open(d.key, raw); err != nil {
		return err
	}
	behind := false // A row lies behind those of the window.
	for !behind && b.next() {
		r := &b.row
		behind = r.Device > d.device || r.Device == d.device && r.Place().Compare(d.w.to) > 0
		if r.Device == d.device && d.w.has(r.Place()) && (r.Device.IsKnown() || bytes.Equal(r.Name, d.q.Name)) {
			d.rows = append(d.rows, dirRow{*r, b.from, b.size})
		}
	}
	if b.err != nil {
		return b.err
	}
	if d.q.Oldest {
		d.ended = behind
		if n := len(d.rows); n > 0 {
			d.w.from = d.rows[n-1].Place().next()
		}
	} else {
		slices.Reverse(d.rows)
		d.ended = d.key.device != d.device
		if d.key.device == d.device {
			d.w.to = d.key.place.before()
		}
	}
	d.ended = d.ended || d.w.from.Compare(d.w.to) > 0
	return nil
}

func (d *dirSource) payload(r *Row) error {
	x := &d.rows[d.at-1]
	if x.size == 0 {
		return nil
	}
	if d.payloads == nil {
		var err error
		if d.payloads, err = d.s.value(d.dir.number, d.key, spacePayloads); err != nil {
			return err
		}
	}
	if x.from+x.size > len(d.payloads) {
		return disk.Damage(filepath.Join(d.s.o.Path, d.dir.name()), "a block has fewer payloads than its rows say")
	}
	r.Payload = d.payloads[x.from : x.from+x.size : x.from+x.size]
	return nil
}

// memorySource reads one batch in memory.
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
	m.own = batch{rows: b.of(device), texts: b.texts, sorted: true}
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

// advance goes to the next row that the window has.
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
		m.is = m.w.has(m.next.Place()) && (m.device.IsKnown() || bytes.Equal(m.next.Name, m.q.Name))
	}
}

func (m *memorySource) ready() bool          { return m.is }
func (m *memorySource) load() error          { return nil }
func (m *memorySource) bound() (Place, bool) { return m.next.Place(), !m.is }
func (m *memorySource) row() *Row            { r := m.next; return &r }
func (m *memorySource) skip()                { m.advance() }
func (m *memorySource) payload(*Row) error   { return nil }
