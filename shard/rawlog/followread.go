package rawlog

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
)

// followReader reads the log for all followers: each group is read and decoded once, and its rows are put in the seats
// of those who want them.
type followReader struct {
	h   *followers
	ctx context.Context // until there are no seats
	end context.CancelFunc
	at  logPlace // its ties are not known before the first group is read
	// passed is how far the reader is: what there was up to there is in the seats.
	passed atomic.Pointer[logPlace]
	// gathered is what the archive had when the reader was made.
	gathered logPlace

	groups groupReader
	block  commitlog.Block
	given  []*seat // that get a row of the group
	gone   []*seat
}

// logPlace is a place behind a group of the log.
type logPlace struct {
	seq  uint64
	ms   int64 // of the group's last event
	ties archive.Ties
}

// next moves behind the next group, and returns what its rows' Tie is, in its first millisecond and in others.
func (p *logPlace) next(g *commitlog.Group) (first, others uint32) {
	first, others = p.ties.Next(g.Seq, g.FirstMs, g.LastMs)
	p.seq, p.ms = g.Seq, g.LastMs
	return first, others
}

// rowPlace returns the place behind the rows of the group, of a product or of a device, and before those of the next.
func (p *logPlace) rowPlace(product uint32) ProductPlace {
	// The device has no other bit in its places.
	next := Row{DecidedMs: p.ms, Tie: uint32(p.seq-p.ties.First) + 1, Device: archive.Unknown(0, nil)}
	place := ProductPlace{Place: next.Place(), Device: archive.Known(product+1, 0) - 1}
	place.Tie--
	return place
}

// logEnd returns the place behind the last group of the log, whose ties are not known yet, and one of the archive.
func (v *View) logEnd() (gathered, end logPlace) {
	x := v.o.Store.Snapshot() // Before the end of the log is looked at: what it has is no more than the log's.
	gathered = logPlace{seq: x.Gathered.Seq, ties: x.Ties}
	end.seq, end.ms, _ = v.o.Log.Last()
	return gathered, end
}

// countTies finds out what the groups behind the end count their ties from: the first group that has events of its last
// millisecond.
func (v *View) countTies(ctx context.Context, gathered logPlace, end *logPlace, b *commitlog.Block) error {
	end.ties = gathered.ties
	if gathered.seq >= end.seq || end.ties.Ms == end.ms && end.ties.First != 0 {
		return nil
	}
	if err := v.o.Log.ReadForward(ctx, gathered.seq, end.ms, end.ms, 1, b); err != nil {
		return fmt.Errorf("read the log at its end: %w", err)
	}
	if len(b.Groups) == 0 || v.o.Log.First() > gathered.seq+1 {
		return errMoved
	}
	end.ties = archive.Ties{Ms: end.ms, First: b.Groups[0].Seq}
	return nil
}

// newFollowReader returns a reader of what comes behind the end of the log.
func newFollowReader(h *followers) *followReader {
	r := &followReader{h: h}
	r.gathered, r.at = h.v.logEnd()
	r.ctx, r.end = context.WithCancel(context.Background())
	r.groups = groupReader{v: h.v, learn: h.learn}
	if p := h.v.gather.Load(); p != nil {
		r.groups.pace = &pace{rows: p.rows, low: p.low, done: r.ctx.Done()}
	}
	return r
}

// run reads until there are no seats. The log is looked at every followEvery: so what is read at once has gathered for
// as long, and a commit wakes nobody.
func (r *followReader) run() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	err := r.h.v.countTies(r.ctx, r.gathered, &r.at, &r.block)
	isCounted := err == nil
	for err == nil {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
		err = r.readOn()
	}
	if errors.Is(err, errMoved) {
		err = errBehind
	}
	passed := &r.at
	if !isCounted {
		passed = nil
	}
	r.h.endReader(r, passed, err)
}

// readOn reads the groups that are durable now.
func (r *followReader) readOn() error {
	r.h.at("looks")
	r.groups.begin()
	for r.ctx.Err() == nil {
		if last, _, _ := r.h.v.o.Log.Last(); r.at.seq >= last {
			return nil
		}
		if err := r.h.v.readBehind(r.ctx, r.at.seq, followBytes, &r.block); err != nil {
			return err
		}
		if len(r.block.Groups) == 0 {
			return errMoved
		}
		for i := range r.block.Groups {
			if err := r.group(&r.block.Groups[i]); err != nil {
				return err
			}
		}
		passed := r.at
		r.passed.Store(&passed)
	}
	return nil
}

// readBehind reads groups behind one, none if there are none. errMoved says that the next one is gone.
func (v *View) readBehind(ctx context.Context, seq uint64, bytesMax int, b *commitlog.Block) error {
	if err := v.o.Log.ReadForward(ctx, seq, 0, math.MaxInt64, bytesMax, b); err != nil {
		return fmt.Errorf("read the log behind group %d: %w", seq, err)
	}
	if len(b.Groups) > 0 && b.Groups[0].Seq != seq+1 {
		return errMoved
	}
	return nil
}

// group puts the rows of a group in the seats.
func (r *followReader) group(g *commitlog.Group) error {
	a := r.h.audience.Load()
	if a.reader != r {
		return nil // It has ended.
	}
	before := r.at
	found, err := r.groups.read(g, &r.at, a)
	if err != nil {
		return err
	}
	r.given, r.gone = r.given[:0], r.gone[:0]
	for i := range found {
		r.hand(&found[i])
	}
	for _, s := range r.given {
		if s.f.device != nil { // Rows of before and after it was known come in the order of a device.
			slices.SortFunc(s.group, func(a, b *Row) int { return s.f.compare(a.ProductPlace(), b.ProductPlace()) })
		}
		if !s.put(s.group, before) {
			r.gone = append(r.gone, s)
		}
		clear(s.group)
		s.group = s.group[:0]
	}
	clear(found)
	if len(r.gone) > 0 {
		r.h.leave(r.gone...)
	}
	return nil
}

// hand gives a row to those who want it.
func (r *followReader) hand(f *foundRow) {
	give := func(list []*seat) {
		for _, s := range list {
			if !s.f.wants(f.row) {
				continue
			}
			if len(s.group) == 0 {
				r.given = append(r.given, s)
			}
			s.group = append(s.group, f.row)
		}
	}
	give(f.product.all)
	if f.device != nil {
		give(f.device.seats)
	}
}
