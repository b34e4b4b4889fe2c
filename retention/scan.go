package retention

import (
	"context"
	"fmt"
	"sort"
)

// Scan calls fn for every group with an event decided from fromMs to toMs, both included, oldest or newest first, until
// fn says that it needs no more. Groups come without chunks: fn looks at the head and calls Load if it wants them. The
// group is valid until fn returns. Scan runs beside Append, of which it sees what was on disk when it began, and beside
// Drop, which waits for the directory that is being read. More than ScansMax scans wait for each other.
func (l *Log) Scan(
	ctx context.Context,
	fromMs, toMs int64,
	newestFirst bool,
	fn func(*Group) (more bool, err error),
) error {
	select {
	case l.scan <- struct{}{}:
		defer func() { <-l.scan }()
	case <-ctx.Done():
		return ctx.Err()
	}
	views := l.views(fromMs, toMs)
	for i := range views {
		view := views[i]
		if newestFirst {
			view = views[len(views)-1-i]
		}
		s := scan{log: l, ctx: ctx, view: view, fromMs: fromMs, toMs: toMs, newestFirst: newestFirst, fn: fn}
		more, err := s.run()
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// views returns the directories that have a group between the two times, oldest first.
func (l *Log) views(fromMs, toMs int64) []spanView {
	l.mu.Lock()
	defer l.mu.Unlock()
	var views []spanView
	for _, s := range l.spans {
		if !s.empty() && s.lastMs >= fromMs && s.firstMs <= toMs {
			views = append(views, spanView{s, s.bounds})
		}
	}
	return views
}

// scan is a scan of one directory.
type scan struct {
	log          *Log
	ctx          context.Context // of the call that this scan is
	view         spanView
	fromMs, toMs int64
	newestFirst  bool
	fn           func(*Group) (bool, error)

	reader groupReader
	group  Group
}

func (s *scan) run() (more bool, err error) {
	in, err := s.log.pool.acquire(s.ctx, s.view.span)
	if err != nil {
		return false, err
	}
	if in == nil { // Dropped since: its retention is over.
		return true, nil
	}
	defer s.log.pool.release(s.view.span)
	txn := in.read()
	defer txn.Discard()
	s.reader = groupReader{in: in, txn: txn}
	first, last, err := s.bounds()
	if err != nil {
		return false, err
	}
	for n := uint64(0); first+n <= last; n++ {
		seq := first + n
		if s.newestFirst {
			seq = last - n
		}
		if more, err = s.give(seq); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// bounds searches the first and the last group of the directory that the scan wants: decided times never go back (R12).
func (s *scan) bounds() (first, last uint64, err error) {
	v := s.view.bounds
	n := int(v.last - v.first + 1)
	search := func(wanted func(h *header) bool) uint64 {
		return v.first + uint64(sort.Search(n, func(i int) bool {
			if err != nil {
				return true
			}
			if err = s.readHeader(v.first + uint64(i)); err != nil {
				return true
			}
			return wanted(&s.reader.head)
		}))
	}
	first, last = v.first, v.last
	if v.firstMs < s.fromMs {
		first = search(func(h *header) bool { return h.lastMs >= s.fromMs })
	}
	if v.lastMs > s.toMs {
		last = search(func(h *header) bool { return h.firstMs > s.toMs }) - 1
	}
	return first, last, err
}

// give calls fn with one group.
func (s *scan) give(seq uint64) (more bool, err error) {
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	if err := s.readHeader(seq); err != nil {
		return false, err
	}
	g := &s.group
	*g = Group{Head: s.reader.head.head, load: s.load}
	s.reader.head.group(g)
	return s.fn(g)
}

func (s *scan) load(g *Group) error {
	if g.Chunks != nil {
		return nil
	}
	chunks, err := s.reader.readChunks()
	if err != nil {
		return s.damaged(err)
	}
	g.Chunks = chunks
	return nil
}

func (s *scan) readHeader(seq uint64) error {
	if err := s.reader.readHeader(seq); err != nil {
		return s.damaged(err)
	}
	return nil
}

func (s *scan) damaged(err error) error {
	return fmt.Errorf("scan the commit log: %w", damaged(s.view.path, err.Error()))
}
