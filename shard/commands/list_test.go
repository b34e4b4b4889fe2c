package commands

import (
	"cmp"
	"slices"
	"testing"

	"github.com/meterd/meterd/shard/record"
	"pgregory.net/rapid"
)

// A list is a sorted slice, whatever is inserted and removed, and in blocks that are not small for ever.
func TestListIsSorted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l list
		var want []*entry
		rising := uint64(0)
		insert := func(seq uint64) {
			e := &entry{Command: record.Command{Seq: seq}}
			i, found := slices.BinarySearchFunc(want, seq, func(e *entry, seq uint64) int { return cmp.Compare(e.Seq, seq) })
			if (l.at(seq) != nil) != found {
				t.Fatalf("at(%d) where found is %v", seq, found)
			}
			if !found {
				l.insert(e)
				want = slices.Insert(want, i, e)
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "rounds") {
			n := rapid.IntRange(1, 2*blockEntries).Draw(t, "n")
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				for range n {
					rising++
					insert(rising)
				}
			case 1:
				for range n {
					insert(rapid.Uint64Range(1, rising+10).Draw(t, "seq"))
				}
				rising += 10
			case 2:
				for range min(n, len(want)) {
					l.remove(want[0])
					want = want[1:]
				}
			case 3:
				for range min(n, len(want)) {
					i := rapid.IntRange(0, len(want)-1).Draw(t, "i")
					l.remove(want[i])
					want = slices.Delete(want, i, i+1)
				}
			}
			check(t, &l, want)
		}
	})
}

func check(t *rapid.T, l *list, want []*entry) {
	var got []*entry
	all := func(e *entry) bool { got = append(got, e); return true }
	if !l.each(0, all) || !slices.Equal(got, want) || l.n != len(want) {
		t.Fatalf("%d entries, n is %d, want %d", len(got), l.n, len(want))
	}
	if len(want) > 0 {
		if l.first() != want[0] || l.lastSeq() != want[len(want)-1].Seq {
			t.Fatalf("from %d to %d, want %d to %d", l.first().Seq, l.lastSeq(), want[0].Seq, want[len(want)-1].Seq)
		}
		at := rapid.IntRange(0, len(want)-1).Draw(t, "at")
		got = nil
		if l.each(want[at].Seq, all); !slices.Equal(got, want[at+1:]) {
			t.Fatalf("behind %d come %d entries, want %d", want[at].Seq, len(got), len(want)-at-1)
		}
	} else if l.lastSeq() != 0 {
		t.Fatalf("an empty list ends with %d", l.lastSeq())
	}
	for i, b := range l.blocks {
		if len(b.entries) == 0 || len(b.entries) > blockEntries {
			t.Fatalf("a block of %d entries", len(b.entries))
		}
		if i > 0 && len(b.entries)+len(l.blocks[i-1].entries) < blockEntries/2 {
			t.Fatalf("two neighbours of %d and %d entries", len(l.blocks[i-1].entries), len(b.entries))
		}
	}
}
