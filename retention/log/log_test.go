package log

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

const testSegmentBytes = SegmentBytesMin

// testGroup is a group whose content follows from its sequence, so that a test knows it again.
func testGroup(seq uint64, ms int64, chunkBytes ...int) *Group {
	g := &Group{Seq: seq, FirstMs: ms, LastMs: ms + 500, Head: fmt.Appendf(nil, "head of %d", seq)}
	rng := rand.New(rand.NewPCG(seq, 7))
	for _, n := range chunkBytes {
		c := make([]byte, n)
		for i := range c {
			c[i] = byte(rng.Uint32())
		}
		g.Chunks = append(g.Chunks, c)
	}
	return g
}

// sameGroup reports the first difference of two groups.
func sameGroup(got, want *Group) error {
	if got.Seq != want.Seq || got.FirstMs != want.FirstMs || got.LastMs != want.LastMs || got.Chain != want.Chain {
		return fmt.Errorf("group %d of %d..%d %x, want %d of %d..%d %x", got.Seq, got.FirstMs, got.LastMs, got.Chain,
			want.Seq, want.FirstMs, want.LastMs, want.Chain)
	}
	if string(got.Head) != string(want.Head) || len(got.Chunks) != len(want.Chunks) {
		return fmt.Errorf(
			"group %d: head %q and %d chunks, want %q and %d",
			got.Seq,
			got.Head,
			len(got.Chunks),
			want.Head,
			len(want.Chunks),
		)
	}
	for i := range got.Chunks {
		if string(got.Chunks[i]) != string(want.Chunks[i]) {
			return fmt.Errorf("group %d: chunk %d differs", got.Seq, i)
		}
	}
	return nil
}

func testOptions(path string) Options {
	return Options{Path: path, SegmentBytes: testSegmentBytes, Retention: time.Hour}
}

func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// newLog makes a log of groups 1 to n, one a second, and returns it with its groups.
func newLog(t testing.TB, n int, chunkBytes ...int) (*Log, []*Group) {
	t.Helper()
	l := openLog(t, testOptions(filepath.Join(t.TempDir(), "commit")))
	return l, appendGroups(t, l, n, chunkBytes...)
}

// appendGroups appends the next n groups.
func appendGroups(t testing.TB, l *Log, n int, chunkBytes ...int) (groups []*Group) {
	t.Helper()
	for range n {
		last, _, _ := l.Last()
		g := testGroup(last+1, int64(last+1)*1000, chunkBytes...)
		if err := l.Append(g); err != nil {
			t.Fatal(err)
		}
		l.wg.Wait() // What is prepared in the background is ready: the next switch takes it.
		groups = append(groups, g)
	}
	return groups
}

// readAll replays the log and compares it with what was appended, from group `from` on.
func readAll(t testing.TB, l *Log, from uint64, groups []*Group) {
	t.Helper()
	next := from
	err := l.Replay(from, func(g *Group) error {
		if g.Seq != next {
			return fmt.Errorf("group %d where %d must come", g.Seq, next)
		}
		next++
		return sameGroup(g, groups[g.Seq-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	if last, _, _ := l.Last(); next != last+1 || int(last) != len(groups) {
		t.Fatalf("replay ended before group %d, the log with %d, %d were appended", next, last, len(groups))
	}
}

// verify opens a log and replays what it has. It returns the last group.
func verify(path string, groups []*Group) (uint64, error) {
	l, err := Open(testOptions(path))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	last, _, _ := l.Last()
	err = l.Replay(l.First(), func(g *Group) error { return sameGroup(g, groups[g.Seq-1]) })
	return last, err
}

func (l *Log) path(number uint64) string { return segmentPath(l.opts.Path, number) }

func TestAppendReplayReopen(t *testing.T) {
	l, groups := newLog(t, 100, 300, 4000)
	if l.Segments() < 5 {
		t.Fatalf("%d segments", l.Segments())
	}
	for from := range uint64(101) {
		readAll(t, l, from+1, groups)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := openLog(t, l.opts)
	readAll(t, again, 1, groups)
	groups = append(groups, appendGroups(t, again, 50, 10)...)
	for from := uint64(1); from < 151; from += 7 {
		readAll(t, again, from, groups)
	}
	last, lastMs, chain := again.Last()
	if last != 150 || lastMs != 150*1000+500 || chain != groups[149].Chain || again.First() != 1 {
		t.Fatal(last, lastMs, chain, again.First())
	}
	for _, g := range groups {
		if chain, err := again.ChainOf(g.Seq); err != nil || chain != g.Chain {
			t.Fatalf("group %d: %x, %v, want %x", g.Seq, chain, err, g.Chain)
		}
	}
	if chain, err := again.ChainOf(0); err != nil || chain != (Chain{}) {
		t.Fatal(chain, err)
	}
	if _, err := again.ChainOf(151); err == nil {
		t.Fatal("there is a group 151")
	}
}

func TestEmptyLog(t *testing.T) {
	l, _ := newLog(t, 0)
	for range 2 {
		last, lastMs, chain := l.Last()
		if last != 0 || lastMs != 0 || chain != (Chain{}) || l.First() != 1 || l.Bytes() != 0 || l.Segments() != 0 {
			t.Fatal(last, lastMs, chain, l.First(), l.Bytes(), l.Segments())
		}
		readAll(t, l, 1, nil)
		var b Block
		if err := l.ReadBack(context.Background(), 0, 0, 1<<60, 1<<20, &b); err != nil || len(b.Groups) != 0 {
			t.Fatal(b.Groups, err)
		}
		if err := l.Release(1<<60, 100); err != nil {
			t.Fatal(err)
		}
		if chain, err := l.ChainOf(0); err != nil || chain != (Chain{}) {
			t.Fatal(chain, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, l.opts)
	}
}

func TestValidate(t *testing.T) {
	err := Options{SegmentBytes: 5000}.Validate()
	if err == nil || len(err.(interface{ Unwrap() []error }).Unwrap()) != 3 {
		t.Fatal(err)
	}
	if _, err := Open(Options{}); err == nil {
		t.Fatal("it was opened")
	}
	if err := (Options{Path: "x", Retention: time.Hour}).Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestGroupsBeyondLimitsAreRefused(t *testing.T) {
	huge := make([]byte, GroupBytesMax)
	for name, g := range map[string]*Group{
		"bytes":       {Seq: 1, Head: []byte("x"), Chunks: [][]byte{huge}},
		"head":        {Seq: 1, Head: huge[:HeadBytesMax+1]},
		"chunks":      {Seq: 1, Chunks: make([][]byte, ChunksMax+1)},
		"empty chunk": {Seq: 1, Chunks: [][]byte{{}}},
		"times":       {Seq: 1, FirstMs: 2, LastMs: 1},
		"sequence":    {Seq: 2},
	} {
		l, _ := newLog(t, 0)
		for range 2 { // An error is for ever.
			if err := l.Append(g); err == nil {
				t.Errorf("%s: it was appended", name)
			}
			g = testGroup(1, 0)
		}
		if last, _, _ := l.Last(); last != 0 {
			t.Errorf("%s: last group %d", name, last)
		}
	}
}

func TestTimesNeverGoBack(t *testing.T) {
	for _, ms := range [][2]int64{{1000, 1500}, {1999, 3000}, {2000, 2499}} {
		l, _ := newLog(t, 2)
		if err := l.Append(&Group{Seq: 3, FirstMs: ms[0], LastMs: ms[1]}); err == nil {
			t.Errorf("%v was appended", ms)
		}
	}
}

// The largest groups have files larger than a segment.
func TestLargestGroups(t *testing.T) {
	l, _ := newLog(t, 0)
	sizes := make([]int, ChunksMax)
	for i := range sizes {
		sizes[i] = 1 + i
	}
	groups := []*Group{
		testGroup(1, 0, sizes...), testGroup(2, 0, 5<<20), testGroup(3, 0, 10),
		{Seq: 4, LastMs: 500, Head: make([]byte, HeadBytesMax), Chunks: [][]byte{make([]byte, GroupBytesMax-HeadBytesMax)}},
		testGroup(5, 0), testGroup(6, 0, testSegmentBytes-pageBytes), testGroup(7, 0, testSegmentBytes-2*pageBytes),
	}
	for _, g := range groups {
		if err := l.Append(g); err != nil {
			t.Fatal(err)
		}
	}
	readAll(t, l, 1, groups)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, l.opts)
	readAll(t, l, 1, groups)
	var b Block
	for before := uint64(8); before > 1; before-- {
		if err := l.ReadBack(context.Background(), before, 0, 1000, 1, &b); err != nil || len(b.Groups) != 1 {
			t.Fatal(len(b.Groups), err)
		}
		if err := sameGroup(&b.Groups[0], groups[before-2]); err != nil {
			t.Fatal(err)
		}
	}
}

// Where space is short nothing is allocated ahead; files grow as they are written.
func TestWithoutRoom(t *testing.T) {
	o := testOptions(filepath.Join(t.TempDir(), "commit"))
	o.Room = func() bool { return false }
	l := openLog(t, o)
	groups := appendGroups(t, l, 100, 3000)
	if n := l.Bytes(); n > 100*(3000+pageBytes) {
		t.Fatalf("%d bytes", n)
	}
	if n := l.Segments(); n > 3+100*3200/testSegmentBytes { // Also without room the segments become large.
		t.Fatalf("%d segments", n)
	}
	if err := l.Release(1<<40, 100); err != nil {
		t.Fatal(err)
	}
	if l.Segments() != 1 || l.First() != 101 || l.Bytes() != pageBytes {
		t.Fatalf("%d segments, %d bytes, first %d", l.Segments(), l.Bytes(), l.First())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, o)
	if last, lastMs, chain := l.Last(); last != 100 || lastMs != 100_500 || chain != groups[99].Chain {
		t.Fatal(last, lastMs, chain)
	}
}

// A disk that failed once is not asked again.
func TestAppendFailsForEverAfterAFailedWrite(t *testing.T) {
	l, _ := newLog(t, 1)
	if err := l.writer.f.Close(); err != nil { // The kernel answers EBADF.
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Append(testGroup(2, 2000)); err == nil {
			t.Fatal("it was appended")
		}
	}
	if err := l.Release(0, 0); err == nil {
		t.Fatal("it was released")
	}
	if last, _, _ := l.Last(); last != 1 {
		t.Fatalf("last group %d", last)
	}
	if err := l.Close(); err == nil {
		t.Fatal("closing said nothing of the failure")
	}
}

func TestErrorInTheBackgroundIsFatal(t *testing.T) {
	told := make(chan error, 1)
	o := testOptions(filepath.Join(t.TempDir(), "commit"))
	o.Fatal = func(err error) { told <- err }
	l := openLog(t, o)
	appendGroups(t, l, 2)
	if err := os.Mkdir(l.path(2), 0o700); err != nil { // The name of the next segment is taken.
		t.Fatal(err)
	}
	seq := uint64(3)
	var err error
	for ; err == nil; seq++ {
		err = l.Append(testGroup(seq, int64(seq)*1000, 10_000))
		l.wg.Wait() // So that it is the background that finds the error, not Append.
	}
	if seq > 10 {
		t.Fatalf("group %d was appended", seq)
	}
	if err := <-told; err == nil {
		t.Fatal("nothing was told")
	}
	if err := l.Append(testGroup(seq, int64(seq)*1000)); err == nil {
		t.Fatal("it was appended")
	}
}

// An Append allocates nothing, except the list of pieces for the kernel when a group is large.
func TestAppendAllocates(t *testing.T) {
	l := openLog(t, Options{Path: filepath.Join(t.TempDir(), "commit"), SegmentBytes: 16 << 20, Retention: time.Hour})
	for chunks, most := range map[int]float64{20: 0, 200: 8} {
		sizes := make([]int, chunks)
		for i := range sizes {
			sizes[i] = 500
		}
		last, _, _ := l.Last()
		g := testGroup(last+1, 0, sizes...)
		got := testing.AllocsPerRun(20, func() {
			if err := l.Append(g); err != nil {
				t.Fatal(err)
			}
			g.Seq++
		})
		if got > most {
			t.Errorf("%d chunks: %.1f allocations", chunks, got)
		}
	}
}
