package commands

import (
	"cmp"
	"slices"

	"github.com/meterd/meterd/shard/record"
)

// entry is a disconnect that is kept. It is in the list of its account and in the list of all.
type entry struct {
	record.Command
	account *account
}

// list holds entries by rising sequence, in blocks as the leaves of a B-tree are: whatever is inserted or removed, one
// block is moved, and two neighbours that are less than half of one together become one.
type list struct {
	blocks []*block
	n      int
}

type block struct {
	last    uint64 // the highest sequence, so that a search among blocks reads no entries
	entries []*entry
}

// find returns the place of the first entry whose sequence is at least seq; b is len(l.blocks) if there is none.
func (l *list) find(seq uint64) (b, i int) {
	b, _ = slices.BinarySearchFunc(l.blocks, seq, func(bl *block, seq uint64) int {
		return cmp.Compare(bl.last, seq)
	})
	if b < len(l.blocks) {
		i, _ = slices.BinarySearchFunc(l.blocks[b].entries, seq, func(e *entry, seq uint64) int {
			return cmp.Compare(e.Seq, seq)
		})
	}
	return b, i
}

// at returns the entry with sequence seq, nil if there is none.
func (l *list) at(seq uint64) *entry {
	if b, i := l.find(seq); b < len(l.blocks) && l.blocks[b].entries[i].Seq == seq {
		return l.blocks[b].entries[i]
	}
	return nil
}

// first returns the entry with the lowest sequence. The list is not empty.
func (l *list) first() *entry { return l.blocks[0].entries[0] }

// lastSeq returns the highest sequence, 0 of an empty list.
func (l *list) lastSeq() uint64 {
	if l.n == 0 {
		return 0
	}
	return l.blocks[len(l.blocks)-1].last
}

// insert adds an entry whose sequence no other has.
func (l *list) insert(e *entry) {
	l.n++
	b, i := l.find(e.Seq)
	if b == len(l.blocks) { // The newest, as a rule.
		if b == 0 || len(l.blocks[b-1].entries) == blockEntries {
			l.blocks = append(l.blocks, &block{})
			b++
		}
		b, i = b-1, len(l.blocks[b-1].entries)
	} else if len(l.blocks[b].entries) == blockEntries {
		const half = blockEntries / 2
		bl := l.blocks[b]
		l.blocks = slices.Insert(l.blocks, b+1, &block{bl.last, slices.Clone(bl.entries[half:])})
		bl.entries = slices.Delete(bl.entries, half, blockEntries)
		bl.last = bl.entries[half-1].Seq
		if i >= half {
			b, i = b+1, i-half
		}
	}
	bl := l.blocks[b]
	bl.entries = slices.Insert(bl.entries, i, e)
	bl.last = max(bl.last, e.Seq)
}

// remove takes out an entry that is there.
func (l *list) remove(e *entry) {
	l.n--
	b, i := l.find(e.Seq)
	bl := l.blocks[b]
	bl.entries = slices.Delete(bl.entries, i, i+1)
	switch n := len(bl.entries); {
	case n == 0:
		l.blocks = slices.Delete(l.blocks, b, b+1)
	case i == n:
		bl.last = bl.entries[n-1].Seq
		fallthrough
	default:
		l.merge(b)
	}
	l.merge(b - 1)
}

// merge makes one block of block b and the next one if they are small.
func (l *list) merge(b int) {
	if b < 0 || b+1 >= len(l.blocks) {
		return
	}
	bl, next := l.blocks[b], l.blocks[b+1]
	if len(bl.entries)+len(next.entries) < blockEntries/2 {
		bl.entries = append(bl.entries, next.entries...)
		bl.last = next.last
		l.blocks = slices.Delete(l.blocks, b+1, b+2)
	}
}

// each calls fn for the entries behind sequence after, in order, until it returns false. It reports whether it came to
// the end. fn must not change the list.
func (l *list) each(after uint64, fn func(*entry) bool) (end bool) {
	for b, i := l.find(after + 1); b < len(l.blocks); b, i = b+1, 0 {
		for _, e := range l.blocks[b].entries[i:] {
			if !fn(e) {
				return false
			}
		}
	}
	return true
}
