package board

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

var (
	// ErrDamaged says that the stream, or this copy, lacks what was acknowledged: nobody may own the cell by it.
	ErrDamaged = errors.New("acknowledged groups are missing")
	// ErrClock says that the node's clock is off by more than an hour, and that nobody has confirmed it.
	ErrClock = errors.New("this node's clock is off")
	// ErrOthers says that another node is better suited, and may try now.
	ErrOthers = errors.New("another node's clock is nearer")
)

// Facts are what a node knows when it asks whether it may own a cell. It has read the stream to its end: what it has is
// what the stream has.
type Facts struct {
	Node      string
	Own       CellStatus
	Positions *Positions
	// ChainOf returns the chain of a group of its own segments; nil or false: they do not go back so far.
	ChainOf func(group uint64) (Bytes16, bool)
	Nodes   []Status // as they were heard
	// NowMs is its clock, Clocks what the others' show now, LastMs the latest time in the log, of a group or an owner's
	// clock. All are Unix milliseconds.
	NowMs, LastMs int64
	Clocks        map[string]int64
	Confirmed     bool // an administrator says that its clock is right
}

// Facts returns what the board knows for MayOwn.
func (b *Board) Facts(own CellStatus, lastMs int64, chainOf func(group uint64) (Bytes16, bool)) *Facts {
	now := time.Now()
	f := &Facts{
		Node: b.o.Node, Own: own, ChainOf: chainOf, Positions: b.Positions(), Nodes: b.Nodes(), Clocks: b.clocks(),
		NowMs: now.UnixMilli(), LastMs: lastMs,
	}
	if c := b.confirmed.Load(); c != nil {
		moved := now.UnixMilli() - time.Since(b.table.begun).Milliseconds() - *c
		f.Confirmed = max(moved, -moved) <= ClockNear.Milliseconds()
	}
	return f
}

// ConfirmClock says that this node's clock is right, until it is set again or the process ends.
func (b *Board) ConfirmClock() {
	v := time.Now().UnixMilli() - time.Since(b.table.begun).Milliseconds()
	b.confirmed.Store(&v)
}

// MayOwn returns nil if the node may try to own the cell. Otherwise it says why not, with one of the errors above.
func (f *Facts) MayOwn() error {
	if err := f.whole(); err != nil {
		return err
	}
	skew := f.Skew()
	off := max(skew, -skew)
	if off > ClockFar && !f.Confirmed {
		return fmt.Errorf("%w: by %v from the clocks of the other nodes or the times in the log; set it, or say that it "+
			"is right with POST /v1/clock/confirm on this node", ErrClock, skew.Round(time.Second))
	}
	if off <= ClockNear || f.Confirmed {
		return nil
	}
	for i := range f.Nodes {
		n := &f.Nodes[i]
		c, has := n.Cell(f.Own.Cell)
		if n.Node != f.Node && n.State != Silent && has && c.Role == Standby && c.Fit && c.Stream == f.Own.Stream {
			return fmt.Errorf("%w: node %q, since this one's is off by %v", ErrOthers, n.Node, skew.Round(time.Second))
		}
	}
	return nil
}

// Fit says whether the node would own the cell although others can, too: it is told as CellStatus.Fit.
func (f *Facts) Fit() bool {
	return f.whole() == nil && f.Near()
}

// Near says whether the node's clock is as good as any. Of one that has heard no other clock since it started that is
// not known, if there are other nodes.
func (f *Facts) Near() bool {
	if f.Confirmed {
		return true
	}
	others := func(p Position) bool { return p.Node != f.Node }
	if len(f.Clocks) == 0 && slices.ContainsFunc(f.Positions.Of(f.Own.Cell), others) {
		return false
	}
	skew := f.Skew()
	return max(skew, -skew) <= ClockNear
}

// whole refuses a stream that is shorter than a copy of it ever was, or that has become another one.
func (f *Facts) whole() error {
	check := func(p Position, whose string) error {
		if p.Stream != f.Own.Stream || p.Group < f.Own.Group && f.ChainOf == nil {
			return nil
		}
		chain, known := f.Own.Chain, true
		switch {
		case p.Group > f.Own.Group:
			return fmt.Errorf("%w: cell %d ends with group %d here, and %s had group %d of it; look at its node, or "+
				"repair the cell with meterd ctl cluster repair %d", ErrDamaged, f.Own.Cell, f.Own.Group, whose, p.Group,
				f.Own.Cell)
		case p.Group < f.Own.Group:
			chain, known = f.ChainOf(p.Group)
		}
		if known && p.Group > 0 && chain != p.Chain {
			return fmt.Errorf("%w: group %d of cell %d has chain %x here, and chain %x at %s: one of the two is another "+
				"history; empty the directory of the wrong one", ErrDamaged, p.Group, f.Own.Cell, chain, p.Chain, whose)
		}
		return nil
	}
	for _, p := range f.Positions.Of(f.Own.Cell) {
		if err := check(p, fmt.Sprintf("node %q", p.Node)); err != nil {
			return err
		}
	}
	if p, ok := f.Positions.Longest(f.Own.Cell, f.Own.Stream); ok {
		return check(p, fmt.Sprintf("node %q once", p.Node))
	}
	return nil
}

// Skew returns how far the node's clock is ahead of what the others' show, or how far it is behind the log, whichever
// is more. Of an even number of clocks the two in the middle count, and of them the one that is farther from its own:
// two clocks that differ say only that one is wrong.
func (f *Facts) Skew() time.Duration {
	all := slices.Sorted(maps.Values(f.Clocks))
	at, _ := slices.BinarySearch(all, f.NowMs)
	all = slices.Insert(all, at, f.NowMs)
	low, high := f.NowMs-all[(len(all)-1)/2], f.NowMs-all[len(all)/2]
	skew := low
	if max(high, -high) > max(low, -low) {
		skew = high
	}
	if behind := f.NowMs - f.LastMs; behind < 0 && -behind > max(skew, -skew) {
		skew = behind
	}
	return time.Duration(skew) * time.Millisecond
}
