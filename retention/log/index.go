package log

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
)

// index says where some groups of a segment begin: one about every indexBytes, and always the first one.
type index struct{ entries []entry }

type entry struct {
	seq             uint64
	firstMs, lastMs int64
	at              int64 // byte of the file
}

func (x *index) add(g *Group, at int64) {
	if n := len(x.entries); n == 0 || at-x.entries[n-1].at >= indexBytes {
		x.entries = append(x.entries, entry{g.Seq, g.FirstMs, g.LastMs, at})
	}
}

// view is a segment that is being read, as it was at one instant.
type view struct {
	*segment
	first, last uint64
	chain       Chain // of the last group
	limit       int64
	entries     []entry // oldest first; not empty
	f           *os.File
}

// hold keeps a segment from being released until letGo. l.mu is held.
func (l *Log) hold(s *segment) *view {
	s.readers++
	v := &view{segment: s, first: s.first, last: s.last, chain: s.chain, limit: s.end}
	if s.index != nil {
		v.entries = s.index.entries // Entries are only appended.
	}
	return v
}

func (l *Log) letGo(v *view) {
	if v == nil {
		return
	}
	if v.f != nil {
		_ = v.f.Close() // It was only read.
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	v.readers--
}

// open opens the file of a view and gets its index.
func (l *Log) open(ctx context.Context, v *view) error {
	if err := v.openFile(); err != nil {
		return err
	}
	if v.entries == nil {
		return l.loadIndex(ctx, v)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.useIndex(v.segment)
	return nil
}

func (v *view) openFile() (err error) {
	if v.f, err = os.Open(v.path); err != nil {
		return fmt.Errorf("open %q: %w", v.path, err)
	}
	return nil
}

// loadIndex reads a closed segment from its beginning, proves it, and keeps its index.
func (l *Log) loadIndex(ctx context.Context, v *view) error {
	v.building.Lock()
	defer v.building.Unlock()
	l.mu.Lock()
	x, end := v.segment.index, v.end
	l.mu.Unlock()
	if x == nil {
		x = &index{}
		c := v.cursor()
		for b := (batch{}); !c.done(); {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := c.read(&b, replayBatchBytes); err != nil {
				return damagedAt(v.path, err)
			}
			for i := range b.groups {
				x.add(&b.groups[i], b.at[i])
			}
		}
		end = c.off
	}
	v.entries, v.limit = x.entries, end
	l.mu.Lock()
	defer l.mu.Unlock()
	v.segment.index, v.end = x, end
	l.keepIndex(v.segment)
	return nil
}

// keepIndex keeps the index of a closed segment in memory, until others were used later. l.mu is held.
func (l *Log) keepIndex(s *segment) {
	if slices.Contains(l.indexed, s) {
		l.useIndex(s)
		return
	}
	if len(l.indexed) == indexesMax {
		l.dropIndex(l.indexed[0])
	}
	l.indexed = append(l.indexed, s)
}

// useIndex notes that an index was used last. l.mu is held.
func (l *Log) useIndex(s *segment) {
	if i := slices.Index(l.indexed, s); i >= 0 {
		l.indexed = append(slices.Delete(l.indexed, i, i+1), s)
	}
}

// dropIndex forgets the index of a closed segment. l.mu is held.
func (l *Log) dropIndex(s *segment) {
	if i := slices.Index(l.indexed, s); i >= 0 {
		l.indexed = slices.Delete(l.indexed, i, i+1)
		s.index = nil
	}
}

// cursor reads a view from its first group on.
func (v *view) cursor() cursor {
	return cursor{
		f: v.f, salt: v.salt, off: pageBytes, limit: v.limit, next: v.first, until: v.last,
		known: true, before: v.before, firstMs: v.beforeFirstMs, lastMs: v.beforeLastMs,
	}
}

// cursorAt reads a view from entry i on.
func (v *view) cursorAt(i int) cursor {
	if i == 0 {
		return v.cursor()
	}
	e := v.entries[i]
	return cursor{f: v.f, salt: v.salt, off: e.at, limit: v.limit, next: e.seq, until: v.last}
}

// cursorFrom reads a view from a place on, where a former one ended.
func (v *view) cursorFrom(p *place) cursor {
	return cursor{
		f: v.f, salt: v.salt, off: p.at, limit: v.limit, next: p.seq, until: v.last,
		known: true, before: p.before, firstMs: p.firstMs, lastMs: p.lastMs,
	}
}

// lastWhere returns the last entry of the leading ones for which is holds, or 0.
func (v *view) lastWhere(is func(e *entry) bool) int {
	n := sort.Search(len(v.entries), func(i int) bool { return !is(&v.entries[i]) })
	return max(n-1, 0)
}

// enter takes a place among the readers.
func (l *Log) enter(ctx context.Context) error {
	select {
	case l.read <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Log) leave() { <-l.read }

// ChainOf returns the Chain of a group that is kept, or of the one before the first: it proves that whoever stands at
// that group followed this log. ErrGone is returned for a group further back.
func (l *Log) ChainOf(seq uint64) (Chain, error) {
	ctx := context.Background()
	_ = l.enter(ctx) // It has no end.
	defer l.leave()
	v, chain, err := l.holdGroup(seq)
	if v == nil || err != nil {
		return chain, err
	}
	defer l.letGo(v)
	if err := l.open(ctx, v); err != nil {
		return Chain{}, err
	}
	var b batch
	c := v.cursorAt(v.lastWhere(func(e *entry) bool { return e.seq <= seq }))
	for c.next <= seq {
		c.until = seq
		if err := c.read(&b, readBytes); err != nil {
			return Chain{}, damagedAt(v.path, err)
		}
	}
	return c.before, nil
}

// holdGroup returns the Chain of a group if it is known, else the segment that has the group.
func (l *Log) holdGroup(seq uint64) (*view, Chain, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case seq > l.last:
		return nil, Chain{}, fmt.Errorf("the commit log ends with group %d, it has no group %d", l.last, seq)
	case seq == l.last:
		return nil, l.chain, nil
	case seq+1 < l.firstLocked():
		return nil, Chain{}, fmt.Errorf("group %d: %w, the log begins with group %d", seq, ErrGone, l.firstLocked())
	}
	for _, s := range l.segments {
		switch {
		case s.first == seq+1:
			return nil, s.before, nil
		case s.last == seq:
			return nil, s.chain, nil
		case s.first <= seq && seq <= s.last:
			return l.hold(s), Chain{}, nil
		}
	}
	panic(fmt.Sprintf("BUG: no segment has group %d", seq))
}
