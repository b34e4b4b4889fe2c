package rawlog

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/meterd/meterd/retention/archive"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
)

// tail reads the device's rows of groups that a Snapshot lacks, from the log.
type tail struct {
	v     *View
	x     *archive.Snapshot
	q     *Query
	fn    func(*Row) bool
	raw   []byte
	found []Row
	block commitlog.Block
}

// back reads newest first. more is false when fn needs no more.
func (t *tail) back(ctx context.Context) (more bool, err error) {
	before := uint64(0)
	if last, _, _ := t.v.o.Log.Last(); last <= t.x.Gathered.Seq {
		return true, nil
	}
	for bytesMax := tailBytesMin; ; bytesMax = min(2*bytesMax, tailBytes) {
		toMs := t.q.ToMs
		if t.q.After != (Place{}) {
			toMs = min(toMs, t.q.After.DecidedMs)
		}
		if err := t.v.o.Log.ReadBack(ctx, before, t.q.FromMs, toMs, bytesMax, &t.block); err != nil {
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
		if err := t.v.o.Log.ReadForward(ctx, after, 0, t.q.ToMs, tailBytes, &t.block); err != nil {
			return false, err
		}
		if err := t.isWhole(); err != nil {
			return false, err
		}
		for i := range t.block.Groups {
			g := &t.block.Groups[i]
			after = g.Seq
			if g.LastMs >= t.q.FromMs {
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

// group gathers the device's rows of a group, copied, in their order.
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
	// Chunks of one group were decided at the same time. Within a millisecond the day's use tells what came first; it
	// never falls.
	slices.SortStableFunc(t.found, func(a, b Row) int {
		return cmp.Or(cmp.Compare(a.DecidedMs, b.DecidedMs), cmp.Compare(a.Used, b.Used))
	})
	return nil
}

func (t *tail) chunk(raw []byte) error {
	c, err := record.Open(raw)
	if err != nil {
		return err
	}
	rows := c.Scan()
	for rows.Next() {
		r := &rows.Row
		if r.Named {
			if r.Product != t.q.Product || !bytes.Equal(r.Name, t.q.Device) {
				continue
			}
		} else if !t.q.Known || r.Ordinal != t.q.Ordinal {
			continue
		}
		var row Row
		rowOf(&row, r)
		if row.Device.IsKnown() {
			row.Device = archive.Known(t.q.Product, r.Ordinal)
		}
		row.LogDays = t.q.LogDays
		row.Name, row.ID = bytes.Clone(row.Name), bytes.Clone(row.ID)
		row.Topic, row.Payload = bytes.Clone(row.Topic), bytes.Clone(row.Payload)
		t.found = append(t.found, row)
	}
	return rows.Err()
}

// place sets the places of the rows that were found, and returns what ties behind the group count from.
func (t *tail) place(g *commitlog.Group, ties archive.Ties) archive.Ties {
	first, others := ties.Next(g.Seq, g.FirstMs, g.LastMs)
	var orders archive.Orders
	for i := range t.found {
		r := &t.found[i]
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
		if r.DecidedMs < t.q.FromMs || r.DecidedMs > t.q.ToMs || !t.v.wants(t.q, r) || !t.isBehind(r.Place()) {
			continue
		}
		if !t.fn(r) {
			return false
		}
	}
	return true
}

// isBehind reports whether a place comes behind the one that the query goes on at.
func (t *tail) isBehind(p Place) bool {
	if t.q.After == (Place{}) {
		return true
	}
	c := p.Compare(t.q.After)
	return t.q.Oldest && c > 0 || !t.q.Oldest && c < 0
}
