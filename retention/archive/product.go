package archive

import (
	"context"
	"math"
	"slices"
)

// ProductQuery asks for rows of a product, in the order of ProductPlace.
type ProductQuery struct {
	Product      uint32
	FromMs, ToMs int64 // decided times, both included
	// After, when not zero, is the place behind which rows are wanted, in the direction of the query.
	After  ProductPlace
	Oldest bool // oldest first; else newest first
	// Rows is how many rows are wanted at most, few enough to lie in memory. 0: all of them, which are sorted on the disk.
	Rows int
	// Wants is asked before a row's payload is read; nil: all are wanted.
	Wants func(*Row) bool
	// Denied and Topics say that Wants takes rows alone that were denied, or that have a topic: blocks without are left
	// out before their rows are read.
	Denied, Topics bool
	// Owners sets products to whose the devices with these ordinals are, of the same number. It is asked for some
	// thousands at a time.
	Owners func(ordinals []uint64, products []uint32) error
}

// wants reports whether the query asks for r, whose place is looked at, too.
func (q *ProductQuery) wants(r *Row) bool {
	return r.DecidedMs >= q.FromMs && r.DecidedMs <= q.ToMs && q.isBehind(r.ProductPlace()) &&
		(q.Wants == nil || q.Wants(r))
}

func (q *ProductQuery) isBehind(p ProductPlace) bool {
	return q.After == (ProductPlace{}) || direction(q.Oldest).compare(p, q.After) > 0
}

// times returns the decided times that rows still wanted have.
func (q *ProductQuery) times() (fromMs, toMs int64) {
	fromMs, toMs = q.FromMs, q.ToMs
	switch {
	case q.After == (ProductPlace{}):
	case q.Oldest:
		fromMs = max(fromMs, q.After.DecidedMs)
	default:
		toMs = min(toMs, q.After.DecidedMs)
	}
	return fromMs, toMs
}

// ProductReader reads the rows of a product, step by step. It belongs to one goroutine.
type ProductReader struct {
	s      *Store
	q      ProductQuery
	passed map[uint64]bool // directories that have no more rows
	owners owners
}

// ReadProduct begins to read the rows that q asks for.
func (s *Store) ReadProduct(q ProductQuery) *ProductReader {
	return &ProductReader{s: s, q: q, passed: map[uint64]bool{}}
}

// After returns the place of the last row that was given, or of another one that rows are to follow.
func (p *ProductReader) After() ProductPlace { return p.q.After }

// Given notes that a row was given that the archive does not have, and reports whether more are wanted.
func (p *ProductReader) Given(at ProductPlace) (more bool) {
	p.q.After = at
	if p.q.Rows > 0 {
		p.q.Rows--
		return p.q.Rows > 0
	}
	return true
}

// Progress is what a step of a ProductReader has come to.
type Progress int

// What a step has come to.
const (
	Ended   Progress = iota // the Snapshot has no more rows
	GoOn                    // there may be more: take another Snapshot for the next step
	Stopped                 // no more are wanted
)

// Step calls fn for the next rows, until fn returns false. A row is valid until fn returns. x is a Snapshot that was
// taken just now, which the step uses up: a reader that waits for its client holds one batch of memory and, if all rows
// are wanted, what it has sorted. ErrGone says that a directory was merged or removed meanwhile: step with another
// Snapshot.
func (p *ProductReader) Step(ctx context.Context, x *Snapshot, fn func(*Row) bool) (Progress, error) {
	parts := []func(context.Context, *Snapshot, func(*Row) bool) (Progress, error){p.memory, p.directories}
	if p.q.Oldest {
		slices.Reverse(parts)
	}
	for _, part := range parts {
		if done, err := part(ctx, x, fn); err != nil || done != Ended {
			return done, err
		}
	}
	return Ended, nil
}

// give gives a row to fn.
func (p *ProductReader) give(r *Row, fn func(*Row) bool) (more bool) {
	place := r.ProductPlace()
	more = fn(r)
	return p.Given(place) && more
}

// memory gives the rows of the next batch that has some. Groups follow each other from batch to batch.
func (p *ProductReader) memory(ctx context.Context, x *Snapshot, fn func(*Row) bool) (Progress, error) {
	batches := slices.Clone(x.batches)
	if !p.q.Oldest {
		slices.Reverse(batches)
	}
	for i := range batches {
		if err := ctx.Err(); err != nil {
			return Ended, err
		}
		picked, err := p.pick(&batches[i], x.baseMs)
		if err != nil {
			return Ended, err
		}
		if len(picked.rows.rows) == 0 {
			continue
		}
		x.batches = nil // Others may be let go while fn waits.
		for picked.inMemory() {
			if !p.give(&picked.row, fn) {
				return Stopped, nil
			}
		}
		return GoOn, nil
	}
	return Ended, nil
}

// directories gives the rows of all directories.
func (p *ProductReader) directories(ctx context.Context, x *Snapshot, fn func(*Row) bool) (done Progress, err error) {
	sources := p.sources(x)
	if len(sources) == 0 {
		return Ended, nil
	}
	x.batches = nil
	defer func() {
		for _, s := range sources {
			if cerr := s.close(); err == nil {
				err = cerr
			}
		}
	}()
	for {
		if err := ctx.Err(); err != nil {
			return Ended, err
		}
		next, until, err := p.first(ctx, sources)
		if err != nil || next == nil {
			return GoOn, err
		}
		for n := 0; n == 0 || n < giveRows && next.ready && direction(p.q.Oldest).compare(next.bound, until) < 0; n++ {
			r, err := next.take()
			if err != nil {
				return Ended, err
			}
			if !p.give(r, fn) {
				return Stopped, nil
			}
			if err := next.skip(); err != nil {
				return Ended, err
			}
		}
	}
}

// sources returns the directories that may have rows.
func (p *ProductReader) sources(x *Snapshot) (list []*productSource) {
	fromMs, toMs := p.q.times()
	for i := range x.dirs {
		d := &x.dirs[i]
		if d.rows > 0 && d.lastMs >= fromMs && d.firstMs <= toMs && !p.passed[d.number] {
			list = append(list, newProductSource(p, d))
		}
	}
	return list
}

// first returns the source with the next row, nil at the end, and the place up to which no other one has a row. A
// source is loaded once it may have the next row: directories follow each other in time, but for those of one span
// and several log days.
func (p *ProductReader) first(
	ctx context.Context, sources []*productSource,
) (best *productSource, until ProductPlace, err error) {
	order := direction(p.q.Oldest)
	for {
		best, until = nil, (!order).edge(math.MinInt64, math.MaxInt64)
		for _, s := range sources {
			if s.ended {
				p.passed[s.dir.number] = true
				continue
			}
			if best == nil {
				best = s
				continue
			}
			// Of two with the same bound the one that is not loaded comes first: it may have an earlier row.
			later := s
			if c := order.compare(s.bound, best.bound); c < 0 || c == 0 && best.ready && !s.ready {
				best, later = s, best
			}
			if order.compare(later.bound, until) < 0 {
				until = later.bound
			}
		}
		if best == nil || best.ready {
			return best, until, nil
		}
		if err := best.load(ctx); err != nil {
			return nil, until, err
		}
	}
}
