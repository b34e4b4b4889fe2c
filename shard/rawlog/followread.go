package rawlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// followReader reads the log for all followers: each group is read and decoded once, and its rows are put in the seats
// of those who want them.
type followReader struct {
	h    *followers
	ctx  context.Context // until there are no seats
	end  context.CancelFunc
	seq  uint64 // the last group that was read
	ms   int64  // of its last event
	pace *pace  // nil: at once
	// passed is how far the reader is: what there was up to there is in the seats.
	passed atomic.Pointer[mark]

	ties archive.Ties // what groups behind seq count from; before the first group is read, behind gathered
	// gathered is the last group that the archive had when the reader was made.
	gathered uint64

	block commitlog.Block
	raw   []byte
	found []foundRow
	given []*seat // that get a row of the group
	gone  []*seat
}

// mark is a group that was read.
type mark struct {
	ms  int64  // of its last event
	tie uint32 // of the rows of that millisecond
}

// end returns the place behind the group's rows, of a product or of a device, and before those of the next group.
func (m *mark) end(product uint32) ProductPlace {
	next := Row{DecidedMs: m.ms, Tie: m.tie + 1, Device: archive.Unknown(0, nil)} // of a place with no other bit
	p := ProductPlace{Place: next.Place(), Device: archive.Known(product+1, 0) - 1}
	p.Tie--
	return p
}

// foundRow is a row of those who are followed, and who follows it.
type foundRow struct {
	row     *Row
	product *productSeats
	device  *deviceSeats // nil: nobody follows the device alone
}

// newFollowReader returns a reader of what comes behind the end of the log.
func newFollowReader(h *followers) *followReader {
	x := h.v.o.Store.Snapshot() // Before the end of the log is looked at: what it has is no more than the log's.
	r := &followReader{h: h, gathered: x.Gathered.Seq, ties: x.Ties}
	r.ctx, r.end = context.WithCancel(context.Background())
	r.seq, r.ms, _ = h.v.o.Log.Last()
	if p := h.v.gather.Load(); p != nil {
		r.pace = &pace{rows: p.rows, low: p.low, done: r.ctx.Done()}
	}
	return r
}

// run reads until there are no seats. The log is looked at every followEvery: so what is read at once has gathered for
// as long, and a commit wakes nobody.
func (r *followReader) run() {
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	err := r.countTies()
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
	r.h.endReader(r, err)
}

// countTies finds out what the groups behind the last one count their ties from: the first group that has events of its
// last millisecond.
func (r *followReader) countTies() error {
	if r.gathered >= r.seq || r.ties.Ms == r.ms && r.ties.First != 0 {
		return nil
	}
	if err := r.h.v.o.Log.ReadForward(r.ctx, r.gathered, r.ms, r.ms, 1, &r.block); err != nil {
		return fmt.Errorf("read the log at its end: %w", err)
	}
	if len(r.block.Groups) == 0 || r.h.v.o.Log.First() > r.gathered+1 {
		return errMoved
	}
	r.ties = archive.Ties{Ms: r.ms, First: r.block.Groups[0].Seq}
	return nil
}

// readOn reads the groups that are durable now.
func (r *followReader) readOn() error {
	r.h.at("looks")
	if r.pace != nil {
		r.pace.began = time.Now()
	}
	for r.ctx.Err() == nil {
		if last, _, _ := r.h.v.o.Log.Last(); r.seq >= last {
			return nil
		}
		if err := r.h.v.o.Log.ReadForward(r.ctx, r.seq, 0, math.MaxInt64, followBytes, &r.block); err != nil {
			return fmt.Errorf("read the log behind group %d: %w", r.seq, err)
		}
		if len(r.block.Groups) == 0 || r.block.Groups[0].Seq != r.seq+1 {
			return errMoved
		}
		for i := range r.block.Groups {
			g := &r.block.Groups[i]
			if err := r.group(g); err != nil {
				return fmt.Errorf("group %d: %w", g.Seq, err)
			}
			r.seq, r.ms = g.Seq, g.LastMs
			r.rest()
		}
		r.passed.Store(&mark{ms: r.ms, tie: uint32(r.seq - r.ties.First)})
	}
	return nil
}

// rest is a step of the reader's pace.
func (r *followReader) rest() {
	if r.pace != nil {
		r.pace.step()
	}
}

// group puts the rows of a group in the seats.
func (r *followReader) group(g *commitlog.Group) error {
	a := r.h.audience.Load()
	if a.reader != r {
		return nil // It has ended.
	}
	first, others := r.ties.Next(g.Seq, g.FirstMs, g.LastMs)
	r.found, r.given, r.gone = r.found[:0], r.given[:0], r.gone[:0]
	for _, stored := range g.Chunks {
		var err error
		if r.raw, err = r.h.v.inflate.Decompress(r.raw[:0], stored); err != nil {
			return err
		}
		if err := r.chunk(a); err != nil {
			return err
		}
	}
	r.inOrder(g.FirstMs, first, others)
	for i := range r.found {
		r.hand(&r.found[i])
	}
	for _, s := range r.given {
		if s.f.device != nil { // Rows of before and after it was known come in the order of a device.
			slices.SortFunc(s.group, func(a, b *Row) int { return s.f.compare(a.ProductPlace(), b.ProductPlace()) })
		}
		if !s.put(s.group, r.ms) {
			r.gone = append(r.gone, s)
		}
		clear(s.group)
		s.group = s.group[:0]
	}
	clear(r.found)
	if len(r.gone) > 0 {
		r.h.leave(r.gone...)
	}
	return nil
}

// chunk finds the rows of a chunk that somebody follows.
func (r *followReader) chunk(a *audience) error {
	c, err := record.Open(r.raw)
	if err != nil {
		return err
	}
	rows := c.Scan()
	if !a.looksUp {
		for rows.Next() {
			r.row(a, &rows.Row, nil)
		}
		r.rest()
		return rows.Err()
	}
	for more := true; more; {
		err := a.named(func(devices views.Devices) {
			for range namesAtOnce {
				if more = rows.Next(); !more {
					return
				}
				r.row(a, &rows.Row, devices)
			}
		})
		if err != nil {
			return err
		}
		r.rest()
	}
	return rows.Err()
}

// row takes a row if somebody follows it.
func (r *followReader) row(a *audience, row *record.Row, devices views.Devices) {
	f, product := r.whose(a, row, devices)
	if f.device == nil && (f.product == nil || len(f.product.all) == 0) {
		return
	}
	f.row = new(Row)
	rowOf(f.row, row)
	if !row.Named {
		f.row.Device = archive.Known(product, row.Ordinal)
	}
	if f.isWanted() {
		own(f.row)
	}
	r.found = append(r.found, f)
}

// whose returns who follows the device or the product of a row.
func (r *followReader) whose(a *audience, row *record.Row, devices views.Devices) (f foundRow, product uint32) {
	if row.Named {
		if f.product = a.products[row.Product]; f.product != nil {
			f.device = f.product.devices[string(row.Name)]
		}
		return f, row.Product
	}
	if f.device = a.ordinals[row.Ordinal]; f.device != nil {
		f.product = a.products[f.device.product]
		return f, f.device.product
	}
	if !a.looksUp {
		return f, 0
	}
	product, name := devices.Name(counters.Ordinal(row.Ordinal))
	if f.product = a.products[product]; f.product != nil {
		if f.device = f.product.devices[string(name)]; f.device != nil {
			r.h.learn(f.device, row.Ordinal)
		}
	}
	return f, product
}

// isWanted reports whether anybody wants the row.
func (f *foundRow) isWanted() bool {
	is := func(s *seat) bool { return s.f.wants(f.row) }
	return slices.ContainsFunc(f.product.all, is) || f.device != nil && slices.ContainsFunc(f.device.seats, is)
}

// own copies what a row has of the log's memory.
func own(r *Row) {
	r.Name, r.ID, r.Topic = bytes.Clone(r.Name), bytes.Clone(r.ID), bytes.Clone(r.Topic)
	r.Payload = bytes.Clone(r.Payload)
}

// inOrder sets the places of the rows that were found, and sorts them as those of a product are sorted.
func (r *followReader) inOrder(firstMs int64, first, others uint32) {
	slices.SortStableFunc(r.found, func(a, b foundRow) int {
		return cmp.Or(
			cmp.Compare(a.row.DecidedMs, b.row.DecidedMs), cmp.Compare(a.row.Device, b.row.Device),
			cmp.Compare(a.row.Used, b.row.Used),
		)
	})
	var orders archive.Orders
	for i := range r.found {
		row := r.found[i].row
		row.Tie = others
		if row.DecidedMs == firstMs {
			row.Tie = first
		}
		orders.Number(row)
	}
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
