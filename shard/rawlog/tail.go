package rawlog

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// asked is what a reader asks the log for.
type asked interface {
	// times returns the decided times of rows that are wanted.
	times() (fromMs, toMs int64)
	// chunk comes before the rows of a chunk.
	chunk(c *record.Chunk) error
	// device returns which device row i of the chunk is of, and whether its rows may be wanted.
	device(i int, r *record.Row) (archive.Device, bool)
	// logDays are those of the product's plan as it is now.
	logDays() uint32
	// compare orders the rows of a group whose Order is not known yet. Chunks of one group were decided at the same time.
	// Within a millisecond the day's use of a device tells what came first; it never falls.
	compare(a, b *Row) int
	// wants looks at all of a row but its place, isBehind at that.
	wants(r *Row) bool
	isBehind(r *Row) bool
}

// tail reads rows of groups that a Snapshot lacks, from the log.
type tail struct {
	v     *View
	x     *archive.Snapshot
	q     asked
	fn    func(*Row) bool
	raw   []byte
	found []tailRow
	block commitlog.Block
}

// tailRow is a row that was found in the log. If it is not wanted it has no texts: it is there to be counted.
type tailRow struct {
	Row
	isWanted bool
}

// back reads newest first. more is false when fn needs no more.
func (t *tail) back(ctx context.Context) (more bool, err error) {
	before := uint64(0)
	if last, _, _ := t.v.o.Log.Last(); last <= t.x.Gathered.Seq {
		return true, nil
	}
	for bytesMax := tailBytesMin; ; bytesMax = min(2*bytesMax, tailBytes) {
		fromMs, toMs := t.q.times()
		if err := t.v.o.Log.ReadBack(ctx, before, fromMs, toMs, bytesMax, &t.block); err != nil {
			return false, err
		}
		if err := t.isWhole(); err != nil {
			return false, err
		}
		for i := range t.block.Groups {
			g := &t.block.Groups[i]
			if before = g.Seq; before <= t.x.Gathered.Seq {
				return true, nil
			}
			if err := t.group(g); err != nil {
				return false, fmt.Errorf("group %d: %w", g.Seq, err)
			}
			if len(t.found) == 0 {
				continue
			}
			ties, err := t.tiesBefore(ctx, g)
			if err != nil {
				return false, err
			}
			t.place(g, ties)
			slices.Reverse(t.found)
			if !t.give() {
				return false, nil
			}
		}
		if len(t.block.Groups) == 0 {
			return true, nil
		}
	}
}

// forward reads oldest first.
func (t *tail) forward(ctx context.Context) (more bool, err error) {
	after, ties := t.x.Gathered.Seq, t.x.Ties
	for {
		// From the beginning of the tail: ties are counted group by group.
		fromMs, toMs := t.q.times()
		if err := t.v.o.Log.ReadForward(ctx, after, 0, toMs, tailBytes, &t.block); err != nil {
			return false, err
		}
		if err := t.isWhole(); err != nil {
			return false, err
		}
		for i := range t.block.Groups {
			g := &t.block.Groups[i]
			after = g.Seq
			if g.LastMs >= fromMs {
				if err := t.group(g); err != nil {
					return false, fmt.Errorf("group %d: %w", g.Seq, err)
				}
				ties = t.place(g, ties)
				if !t.give() {
					return false, nil
				}
			} else {
				ties.Next(g.Seq, g.FirstMs, g.LastMs)
			}
		}
		if len(t.block.Groups) == 0 {
			return true, nil
		}
	}
}

// isWhole proves that no group of the tail has left the log, which it does once it is archived.
func (t *tail) isWhole() error {
	if t.v.o.Log.First() > t.x.Gathered.Seq+1 {
		return errMoved
	}
	return nil
}

// tiesBefore returns what the ties of a group count from: the first group that has events of its first millisecond.
func (t *tail) tiesBefore(ctx context.Context, g *commitlog.Group) (archive.Ties, error) {
	if t.x.Ties.Ms == g.FirstMs && t.x.Ties.First != 0 {
		return t.x.Ties, nil
	}
	var b commitlog.Block
	if err := t.v.o.Log.ReadForward(ctx, t.x.Gathered.Seq, g.FirstMs, g.FirstMs, 1, &b); err != nil {
		return archive.Ties{}, err
	}
	if err := t.isWhole(); err != nil {
		return archive.Ties{}, err
	}
	if len(b.Groups) == 0 {
		return archive.Ties{}, errMoved
	}
	return archive.Ties{Ms: g.FirstMs, First: b.Groups[0].Seq}, nil
}

// group gathers the rows of a group, in their order. Those that are wanted are copied.
func (t *tail) group(g *commitlog.Group) (err error) {
	t.found = t.found[:0]
	for _, stored := range g.Chunks {
		if t.raw, err = t.v.inflate.Decompress(t.raw[:0], stored); err != nil {
			return err
		}
		if err := t.chunk(t.raw); err != nil {
			return err
		}
	}
	slices.SortStableFunc(t.found, func(a, b tailRow) int { return t.q.compare(&a.Row, &b.Row) })
	return nil
}

func (t *tail) chunk(raw []byte) error {
	c, err := record.Open(raw)
	if err == nil {
		err = t.q.chunk(&c)
	}
	if err != nil {
		return err
	}
	rows := c.Scan()
	for i := 0; rows.Next(); i++ {
		device, ok := t.q.device(i, &rows.Row)
		if !ok {
			continue
		}
		var row tailRow
		rowOf(&row.Row, &rows.Row)
		row.Device, row.LogDays = device, t.q.logDays()
		if row.isWanted = t.q.wants(&row.Row); row.isWanted {
			row.Name, row.ID = bytes.Clone(row.Name), bytes.Clone(row.ID)
			row.Topic, row.Payload = bytes.Clone(row.Topic), bytes.Clone(row.Payload)
		} else {
			row.Name, row.ID, row.Topic, row.Payload = nil, nil, nil, nil
		}
		t.found = append(t.found, row)
	}
	return rows.Err()
}

// place sets the places of the rows that were found, and returns what ties behind the group count from.
func (t *tail) place(g *commitlog.Group, ties archive.Ties) archive.Ties {
	first, others := ties.Next(g.Seq, g.FirstMs, g.LastMs)
	var orders archive.Orders
	for i := range t.found {
		r := &t.found[i].Row
		r.Tie = others
		if r.DecidedMs == g.FirstMs {
			r.Tie = first
		}
		orders.Number(r)
	}
	return ties
}

// give calls fn for the rows that were found and are wanted.
func (t *tail) give() (more bool) {
	for i := range t.found {
		r := &t.found[i]
		if r.isWanted && t.q.isBehind(&r.Row) && !t.fn(&r.Row) {
			return false
		}
	}
	return true
}
