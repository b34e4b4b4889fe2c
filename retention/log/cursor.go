package log

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// batch is the memory of groups that were read at once. They point into arena and chunks and are valid until the batch
// is filled again.
type batch struct {
	groups []Group
	at     []int64 // byte of the file where each begins
	chunks [][]byte
	arena  []byte
	err    error // of Replay: what came instead of more groups
}

func (b *batch) empty() {
	b.groups, b.at, b.chunks, b.err = b.groups[:0], b.at[:0], b.chunks[:0], nil
}

// dropBefore takes the groups before seq away.
func (b *batch) dropBefore(seq uint64) {
	n := 0
	for n < len(b.groups) && b.groups[n].Seq < seq {
		n++
	}
	b.groups, b.at = b.groups[n:], b.at[n:]
}

// cursor reads the groups of one segment in their order. It proves that sequences are contiguous, each header and
// content by their checksums, and the hash chain from the second group on, or from the first if the Chain before it is
// known.
type cursor struct {
	f     *os.File
	salt  uint64
	off   int64  // of the next frame
	limit int64  // no byte from here on is read
	next  uint64 // the group that must come next
	until uint64 // the last group that is read
	known bool   // before is
	// Of the last group read, or of the one before the first.
	before          Chain
	firstMs, lastMs int64

	frame frame
}

// everything is the `until` of a cursor that reads up to the first frame that is none.
const everything = math.MaxUint64

// done reports whether there is nothing more to read.
func (c *cursor) done() bool { return c.next > c.until }

// read fills b with the next groups: as many as are whole within `bytes`, at least one unless the cursor is done. A
// *badFrame says that no whole group follows what b was given.
func (c *cursor) read(b *batch, bytes int64) error {
	b.empty()
	for !c.done() {
		n := max(min(bytes, c.limit-c.off), 0)
		if int64(cap(b.arena)) < n {
			b.arena = make([]byte, align(n, readBytes))
		}
		b.arena = b.arena[:n]
		got, err := c.f.ReadAt(b.arena, c.off)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %q: %w", c.f.Name(), err)
		}
		b.arena = b.arena[:got] // A file that grows as it is written may be shorter than its limit.
		need, err := c.parse(b)
		if !errors.Is(err, errShort) {
			return err
		}
		switch {
		case len(b.groups) > 0:
			return nil
		case c.off+int64(need) > c.limit || int64(got) < n:
			return c.bad(errors.New("the file ends within it"))
		}
		bytes = int64(need)
	}
	return nil
}

func (c *cursor) bad(reason error) error { return &badFrame{c.off, c.next, reason.Error()} }

// parse takes the groups that lie whole in b.arena, which begins at c.off. errShort says that a group is cut off by the
// arena's end, and how much it needs.
func (c *cursor) parse(b *batch) (need int, err error) {
	rest := b.arena
	for !c.done() {
		var g Group
		n, chunks, err := c.frame.decodeGroup(rest, c.salt, &g, b.chunks)
		if errors.Is(err, errShort) {
			return n, err
		}
		if err == nil {
			if err := c.follows(&g); err != nil {
				return 0, err
			}
		}
		if err != nil {
			return 0, c.bad(err)
		}
		b.groups, b.at, b.chunks = append(b.groups, g), append(b.at, c.off), chunks
		c.next, c.before, c.known, c.firstMs, c.lastMs = g.Seq+1, g.Chain, true, g.FirstMs, g.LastMs
		n = int(align(int64(n), frameAlign))
		c.off += int64(n)
		rest = rest[min(n, len(rest)):]
	}
	return 0, nil
}

// follows proves the place of a group whose checksums are right: if it is the wrong one, no torn write made it so.
func (c *cursor) follows(g *Group) error {
	switch {
	case g.Seq != c.next:
		return disk.Damage(c.f.Name(), "at byte %d is group %d where group %d must come", c.off, g.Seq, c.next)
	case c.known && c.frame.before != c.before:
		return disk.Damage(
			c.f.Name(),
			"group %d at byte %d does not continue the group before: the hash chain is broken",
			g.Seq,
			c.off,
		)
	case g.FirstMs > g.LastMs || c.known && (g.FirstMs < c.firstMs || g.LastMs < c.lastMs):
		return disk.Damage(c.f.Name(), "group %d at byte %d was decided before the group before", g.Seq, c.off)
	}
	return nil
}
