package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// erasedInStream returns the change up to which all that was erased is out of the files of a cell's stream, by what
// this node has seen or heard, also before it was started.
func (n *node) erasedInStream(cell int) uint64 {
	stream, p := board.Bytes16(n.made[cell].get().Identity), n.purgers[cell]
	for _, told := range n.board.Positions().Of(cell) {
		if told.Stream == stream {
			p.Learn(stream, told.Erased)
		}
	}
	return p.Erased(stream)
}

// streamErasures counts the devices of whom something that was erased may be in the files of a cell's stream, and says
// how long ago the first of these was asked for.
func (n *node) streamErasures(cell int, c *license.Catalogue) (count int, oldest time.Duration) {
	through, now := n.erasedInStream(cell), time.Now().UnixMilli()
	if c == nil || c.ErasuresSeq() <= through {
		return 0, 0
	}
	for _, x := range c.ErasuresBefore(math.MaxInt64) {
		if x.Seq > through {
			count++
			oldest = max(oldest, time.Duration(now-x.UntilMs)*time.Millisecond)
		}
	}
	return count, oldest
}

// eraseInStream returns the change up to which what was erased is to leave the files of a cell's stream now, if this
// node owns the cell: half of --erase-within is for gathering, and half for copies that are away.
func (n *node) eraseInStream(cell int) (change uint64) {
	e := n.cells[cell].engine.Load()
	if e == nil {
		return 0
	}
	c := e.Catalogue()
	count, oldest := n.streamErasures(cell, c)
	if count == 0 || oldest < n.o.eraseWithin/2 || e.Durable() != nil {
		return 0
	}
	return c.ErasuresSeq()
}

// fillStream fills up the files of a cell's stream with what says nothing, beside all that goes on.
func (n *node) fillStream(ctx context.Context, cell int) (message uint64, err error) {
	e, stream := n.cells[cell].engine.Load(), n.streams[cell]
	if e == nil {
		return 0, errors.New("this node does not own the cell any more")
	}
	for stream.Fill(); stream.Filled() == 0; {
		if err := errors.Join(e.Durable(), ctx.Err()); err != nil { // A message for each, with records or without.
			return 0, fmt.Errorf("fill up the files of cell %d: %w", cell, err)
		}
	}
	return stream.Filled(), nil
}

// registerErasures adds what is known of erasures and the files of NATS.
func (n *node) registerErasures(set *metric.Set) {
	pending := set.Gauges("meterd_cluster_erasures_pending",
		"Devices whose erased payloads may still be in the files of NATS, in any replica of the cell's stream.")
	age := set.Gauges("meterd_cluster_erasure_age_seconds",
		"How long ago the oldest erasure was asked for of which something may still be in the files of NATS, 0 without one.")
	for cell, c := range n.cells {
		label := strconv.Itoa(cell)
		pending.Func(func() float64 {
			count, _ := n.streamErasures(cell, c.catalogue())
			return float64(count)
		}, "cell", label)
		age.Func(func() float64 {
			_, oldest := n.streamErasures(cell, c.catalogue())
			return oldest.Seconds()
		}, "cell", label)
	}
}
