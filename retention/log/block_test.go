package log

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// wanted is what reading must give, in its plainest form.
func wanted(groups []*Group, from, to uint64, fromMs, toMs int64) (list []*Group) {
	for _, g := range groups {
		if g.Seq > from && g.Seq < to && g.LastMs >= fromMs && g.FirstMs <= toMs {
			list = append(list, g)
		}
	}
	return list
}

// readBack reads everything, block by block, in the order of the log.
func readBack(l *Log, before uint64, fromMs, toMs int64, bytesMax int, b *Block) (groups []Group, err error) {
	for {
		if err := l.ReadBack(context.Background(), before, fromMs, toMs, bytesMax, b); err != nil || len(b.Groups) == 0 {
			return groups, err
		}
		for i := range b.Groups {
			groups = append([]Group{copied(&b.Groups[i])}, groups...)
		}
		before = b.Groups[len(b.Groups)-1].Seq
	}
}

func readForward(l *Log, after uint64, fromMs, toMs int64, bytesMax int, b *Block) (groups []Group, err error) {
	for {
		if err := l.ReadForward(context.Background(), after, fromMs, toMs, bytesMax, b); err != nil || len(b.Groups) == 0 {
			return groups, err
		}
		for i := range b.Groups {
			groups = append(groups, copied(&b.Groups[i]))
		}
		after = b.Groups[len(b.Groups)-1].Seq
	}
}

func copied(g *Group) Group {
	c := *g
	c.Head = append([]byte(nil), g.Head...)
	c.Chunks = nil
	for _, chunk := range g.Chunks {
		c.Chunks = append(c.Chunks, append([]byte(nil), chunk...))
	}
	return c
}

func sameGroups(got []Group, want []*Group) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d groups, want %d", len(got), len(want))
	}
	for i := range got {
		if err := sameGroup(&got[i], want[i]); err != nil {
			return err
		}
	}
	return nil
}

// TestReadBlocks compares both directions with the plain answer, for random bounds, over segments with and without an
// index in memory.
func TestReadBlocks(t *testing.T) {
	l, groups := newLog(t, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	ms := int64(0)
	for seq := uint64(1); seq <= 300; seq++ {
		first := ms + int64(rng.IntN(20))
		g := testGroup(seq, first, 1+rng.IntN(3000))
		g.LastMs = first + int64(rng.IntN(30))
		if last, lastMs, _ := l.Last(); last > 0 {
			g.LastMs = max(g.LastMs, lastMs)
		}
		ms = first
		if err := l.Append(g); err != nil {
			t.Fatal(err)
		}
		l.wg.Wait()
		groups = append(groups, g)
	}
	check := func(l *Log) {
		t.Helper()
		var b Block
		for range 300 {
			from, to := uint64(rng.IntN(302)), uint64(1+rng.IntN(302))
			fromMs, toMs := int64(rng.IntN(int(ms)+100)-50), int64(rng.IntN(int(ms)+100)-50)
			if rng.IntN(2) == 0 {
				toMs = fromMs + int64(rng.IntN(40))
			}
			bytesMax := rng.IntN(20_000)
			got, err := readBack(l, to, fromMs, toMs, bytesMax, &b)
			if err == nil {
				err = sameGroups(got, wanted(groups, 0, to, fromMs, toMs))
			}
			if err != nil {
				t.Fatalf("back before %d, %d to %d: %v", to, fromMs, toMs, err)
			}
			got, err = readForward(l, from, fromMs, toMs, bytesMax, &b)
			if err == nil {
				err = sameGroups(got, wanted(groups, from, everything, fromMs, toMs))
			}
			if err != nil {
				t.Fatalf("forward after %d, %d to %d: %v", from, fromMs, toMs, err)
			}
		}
		all, err := readBack(l, 0, -1, 1<<60, 50_000, &b)
		if err == nil {
			err = sameGroups(all, groups)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	check(openLog(t, l.opts))
}

// A block has about the bytes that were asked for, and its memory is used again.
func TestBlockIsBoundedAndReused(t *testing.T) {
	o := Options{Path: t.TempDir() + "/commit", SegmentBytes: 4 << 20, Retention: 1}
	l := openLog(t, o)
	groups := appendGroups(t, l, 3000, 1000)
	var b Block
	read := func() {
		for before := uint64(len(groups) + 1); before > 1; before = b.Groups[len(b.Groups)-1].Seq {
			if err := l.ReadBack(context.Background(), before, 0, 1<<60, 100_000, &b); err != nil || len(b.Groups) == 0 {
				t.Fatal(len(b.Groups), err)
			}
			if b.bytes > 100_000+1200 || b.bytes < 100_000 && b.Groups[len(b.Groups)-1].Seq > 1 {
				t.Fatalf("%d bytes", b.bytes)
			}
		}
	}
	read()
	if n := len(b.batches); n > 2 {
		t.Fatalf("%d buffers", n)
	}
	if n := testing.AllocsPerRun(2, read); n > 300 {
		t.Fatalf("%.0f allocations", n)
	}
}

// Of closed segments the indexes used last are kept.
func TestIndexesAreBounded(t *testing.T) {
	l, groups := newLog(t, 3*indexesMax, testSegmentBytes*3/4)
	if n := len(l.indexed); n != indexesMax {
		t.Fatalf("%d indexes", n)
	}
	var b Block
	for range 2 {
		got, err := readForward(l, 0, 0, 1<<60, 1, &b)
		if err == nil {
			err = sameGroups(got, groups)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	kept := 0
	for _, s := range l.segments {
		if s.index != nil {
			kept++
		}
		if s.readers != 0 {
			t.Fatalf("%d readers of %s", s.readers, s.path)
		}
	}
	if kept != indexesMax+1 || len(l.indexed) != indexesMax {
		t.Fatalf("%d indexes, %d noted", kept, len(l.indexed))
	}
}

func TestReadersStop(t *testing.T) {
	l, _ := newLog(t, 50, 3000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var b Block
	if err := l.ReadBack(ctx, 0, 0, 1<<60, 1<<20, &b); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := l.ReadForward(ctx, 0, 0, 1<<60, 1<<20, &b); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	for range 2 * ReadersMax {
		if err := l.Replay(1, func(*Group) error { return boom }); !errors.Is(err, boom) {
			t.Fatal(err)
		}
	}
	if n := len(l.read); n != 0 {
		t.Fatalf("%d readers", n)
	}
}

// TestReadForwardGoesOn: whoever reads groups as they come gets each once, over all segments, and reads nothing again
// that it was given.
func TestReadForwardGoesOn(t *testing.T) {
	l, groups := newLog(t, 0)
	var b Block
	for n := range 200 {
		more := appendGroups(t, l, 1+n%3, 10+n*50)
		after := uint64(len(groups))
		groups = append(groups, more...)
		got, err := readForward(l, after, 0, 1<<60, 5000, &b)
		if err == nil {
			err = sameGroups(got, more)
		}
		if err != nil {
			t.Fatalf("behind group %d: %v", after, err)
		}
	}
	if l.Segments() < 3 {
		t.Fatal("there is one segment")
	}
	last := l.segments[len(l.segments)-1]
	if last.isEmpty() || last.last != uint64(len(groups)) {
		t.Fatal("the last segment has no group")
	}
	flip(t, last.path, pageBytes+frameFixedBytes)
	more := appendGroups(t, l, 1, 10)
	got, err := readForward(l, uint64(len(groups)), 0, 1<<60, 5000, &b)
	if err == nil {
		err = sameGroups(got, more)
	}
	if err != nil {
		t.Errorf("behind what was read: %v", err)
	}
	if _, err := readForward(l, uint64(len(groups)), 0, 1<<60, 5000, &Block{}); err == nil && last == l.writer.segment {
		t.Error("who has read nothing passes over the damage")
	}
}
