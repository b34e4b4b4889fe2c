package log

import "context"

// Block is the memory of ReadBack and ReadForward, reused from call to call: at most what one call reads. Its groups
// are valid until the next call that it is given to.
type Block struct {
	Groups  []Group
	bytes   int
	used    int
	batches []*batch
	end     place // behind what ReadForward gave last
}

// place is where a group begins, or will: whoever reads on from there need not look for it, which takes up to
// indexBytes.
type place struct {
	segment *segment
	seq     uint64
	at      int64 // byte of the file
	// Of the group before.
	before          Chain
	firstMs, lastMs int64
}

// groupOverheadBytes is what a group counts beside its content, so that bytesMax bounds small groups too.
const groupOverheadBytes = 128

func (b *Block) reset() {
	clear(b.Groups)
	b.Groups, b.bytes, b.used = b.Groups[:0], 0, 0
	for _, x := range b.batches {
		if cap(x.arena) > blockBufferBytesMax {
			x.arena = nil
		}
	}
}

// batch returns an unused batch.
func (b *Block) batch() *batch {
	if b.used == len(b.batches) {
		b.batches = append(b.batches, &batch{})
	}
	b.used++
	return b.batches[b.used-1]
}

func (b *Block) add(g *Group) {
	b.Groups = append(b.Groups, *g)
	b.bytes += g.bytes() + groupOverheadBytes
}

func (b *Block) isFull(bytesMax int) bool { return len(b.Groups) > 0 && b.bytes >= bytesMax }

// ReadBack copies groups into b, newest first: those with Seq < before (0: all) and an event decided from fromMs to
// toMs, both included; at least one if there is any, about bytesMax bytes. No groups: there are no more. It sees what
// was on disk when it was called and holds nothing when it returns, so it goes on with `before` the last group that it
// gave.
func (l *Log) ReadBack(ctx context.Context, before uint64, fromMs, toMs int64, bytesMax int, b *Block) error {
	b.reset()
	if before == 0 {
		before = everything
	}
	return l.readBlock(ctx, b, bytesMax, func() *view {
		for i := len(l.segments) - 1; i >= 0; i-- {
			s := l.segments[i]
			switch {
			case s.isEmpty() || s.first >= before || s.beforeFirstMs > toMs:
				continue
			case s.lastMs < fromMs:
				return nil
			}
			return l.hold(s)
		}
		return nil
	}, func(v *view) (end bool, err error) {
		last := min(v.last, before-1)
		before = v.first
		return v.readBack(ctx, last, fromMs, toMs, bytesMax, b)
	})
}

// ReadForward is ReadBack in the other direction: oldest first, groups with Seq > after. After a gap, when older
// segments were released, it goes on with the first group that is kept.
func (l *Log) ReadForward(ctx context.Context, after uint64, fromMs, toMs int64, bytesMax int, b *Block) error {
	b.reset()
	return l.readBlock(ctx, b, bytesMax, func() *view {
		for _, s := range l.segments {
			switch {
			case s.isEmpty() || s.last <= after || s.lastMs < fromMs:
				continue
			case s.beforeFirstMs > toMs:
				return nil
			}
			return l.hold(s)
		}
		return nil
	}, func(v *view) (end bool, err error) {
		first := after + 1
		after = v.last
		return v.readForward(ctx, first, fromMs, toMs, bytesMax, b)
	})
}

// readBlock reads segment after segment: next holds one, with l.mu held; read says whether the end was reached. The
// next one is held before the last one is let go, so that no block has a gap.
func (l *Log) readBlock(
	ctx context.Context,
	b *Block,
	bytesMax int,
	next func() *view,
	read func(v *view) (bool, error),
) error {
	if err := l.enter(ctx); err != nil {
		return err
	}
	defer l.leave()
	var v *view
	defer func() { l.letGo(v) }()
	for !b.isFull(bytesMax) {
		l.mu.Lock()
		was := v
		v = next()
		l.mu.Unlock()
		l.letGo(was)
		if v == nil {
			return nil
		}
		err := l.open(ctx, v)
		end := false
		if err == nil {
			end, err = read(v)
		}
		if err != nil {
			b.reset()
			return damagedAt(v.path, err)
		}
		if end {
			return nil
		}
	}
	return nil
}

// readBack reads the stretches between index entries from the last one on.
func (v *view) readBack(
	ctx context.Context,
	last uint64,
	fromMs, toMs int64,
	bytesMax int,
	b *Block,
) (end bool, err error) {
	i := v.lastWhere(func(e *entry) bool { return e.seq <= last && e.firstMs <= toMs })
	for ; i >= 0 && !b.isFull(bytesMax); i-- {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		c := v.cursorAt(i)
		c.until = last
		stretch := v.limit - c.off
		if i+1 < len(v.entries) {
			c.until = min(last, v.entries[i+1].seq-1)
			stretch = v.entries[i+1].at - c.off
		}
		x := b.batch()
		if err := c.read(x, stretch); err != nil {
			return false, err
		}
		for j := len(x.groups) - 1; j >= 0 && !b.isFull(bytesMax); j-- {
			g := &x.groups[j]
			if g.LastMs < fromMs {
				return true, nil
			}
			if g.FirstMs <= toMs {
				b.add(g)
			}
		}
	}
	return false, nil
}

func (v *view) readForward(
	ctx context.Context,
	first uint64,
	fromMs, toMs int64,
	bytesMax int,
	b *Block,
) (end bool, err error) {
	i := v.lastWhere(func(e *entry) bool { return e.seq <= first || e.lastMs < fromMs })
	c := v.cursorAt(i)
	if p := &b.end; p.segment == v.segment && p.seq == first && p.seq >= v.entries[i].seq {
		c = v.cursorFrom(p)
	}
	for !c.done() && !b.isFull(bytesMax) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		x := b.batch()
		if err := c.read(x, readBytes); err != nil {
			return false, err
		}
		had := len(b.Groups)
		for j := 0; j < len(x.groups) && !b.isFull(bytesMax); j++ {
			g := &x.groups[j]
			if g.FirstMs > toMs {
				return true, nil
			}
			if g.Seq < first || g.LastMs < fromMs {
				continue
			}
			b.add(g)
			b.end = place{v.segment, g.Seq + 1, c.off, g.Chain, g.FirstMs, g.LastMs}
			if j+1 < len(x.at) {
				b.end.at = x.at[j+1]
			}
		}
		if len(b.Groups) == had { // Nothing of it is needed: its memory is free again.
			b.used--
		}
	}
	return false, nil
}
