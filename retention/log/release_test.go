package log

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// names lists the segment files and leftovers of a log.
func names(t testing.TB, path string) (list []string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func TestReleaseRecyclesOrRemoves(t *testing.T) {
	l, groups := newLog(t, 200, 4000)
	before, last := l.Segments(), uint64(200)
	closed := len(l.segments)
	if err := l.Release(0, last); err != nil || l.Segments() != before {
		t.Fatalf("%d segments of %d, %v: the retention is not over", l.Segments(), before, err)
	}
	now := int64(1000) * 3600 * 1000
	if err := l.Release(now, 0); err != nil || l.First() != 1 {
		t.Fatalf("first %d, %v: no view has passed", l.First(), err)
	}
	second := l.segments[1].first
	if err := l.Release(now, second-1); err != nil || l.First() != second {
		t.Fatalf("first %d, want %d, %v", l.First(), second, err)
	}
	if _, err := l.ChainOf(second - 2); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	if chain, err := l.ChainOf(second - 1); err != nil || chain != groups[second-2].Chain {
		t.Fatal(chain, err)
	}
	if err := l.Replay(1, func(*Group) error { return nil }); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
	readAll(t, l, second, groups)
	if err := l.Release(now, last); err != nil || l.First() != last+1 {
		t.Fatalf("first %d, %v", l.First(), err)
	}
	if len(l.segments) != 1 || len(l.spares) != sparesMax || closed < 10 {
		t.Fatalf("%d begun, %d spares", len(l.segments), len(l.spares))
	}
	if list := names(t, l.opts.Path); len(list) != 1+1+sparesMax {
		t.Fatal(list)
	}
	recycled := 0
	for _, s := range l.spares {
		if page, err := readBegun(s.f, s.number); err != nil || page.is {
			t.Fatal(page, err)
		}
		var h header
		b := make([]byte, headerBytes)
		_, _ = s.f.ReadAt(b, 0)
		if h.decode(b) == nil {
			recycled++
		}
	}
	if recycled == 0 {
		t.Fatal("nothing was recycled")
	}
	groups = append(groups, appendGroups(t, l, 100, 3000)...)
	readAll(t, l, last+1, groups)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, l.opts)
	readAll(t, l, last+1, groups)
}

// A quiet log frees its disk too, and then knows where it stood.
// TestArchivedSegmentsGoAtOnce: what a view keeps elsewhere need not wait for the retention, but for the view.
func TestArchivedSegmentsGoAtOnce(t *testing.T) {
	l, _ := newLog(t, 200, 4000)
	l.opts.Archived = true
	second := l.segments[1].first
	if err := l.Release(0, second-2); err != nil || l.First() != 1 {
		t.Fatalf("first %d, %v: no view has passed the first segment", l.First(), err)
	}
	if err := l.Release(0, second-1); err != nil || l.First() != second {
		t.Fatalf("first %d, want %d, %v", l.First(), second, err)
	}
}

func TestQuietLogIsReleased(t *testing.T) {
	l, groups := newLog(t, 5, 100)
	hour := time.Hour.Milliseconds()
	if err := l.Release(1000+hour/7-1, 5); err != nil || len(l.segments) != 1 {
		t.Fatal(len(l.segments), err)
	}
	if err := l.Release(1000+hour/7, 5); err != nil || len(l.segments) != 2 || l.First() != 1 {
		t.Fatal(len(l.segments), err)
	}
	if n := l.segments[0].bytes; n != 2*pageBytes {
		t.Fatalf("the ended segment has %d bytes", n)
	}
	readAll(t, l, 1, groups)
	if err := l.Release(5500+hour, 5); err != nil || l.First() != 1 {
		t.Fatal(l.First(), err)
	}
	if err := l.Release(5500+hour+1, 5); err != nil || l.First() != 6 || len(l.segments) != 1 {
		t.Fatal(l.First(), err)
	}
	for range 2 {
		last, lastMs, chain := l.Last()
		if last != 5 || lastMs != 5500 || chain != groups[4].Chain {
			t.Fatal(last, lastMs, chain)
		}
		if chain, err := l.ChainOf(5); err != nil || chain != groups[4].Chain {
			t.Fatal(chain, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = openLog(t, l.opts)
	}
	groups = append(groups, appendGroups(t, l, 3, 100)...)
	readAll(t, l, 6, groups)
}

// A segment that is being read is left for the next call.
func TestReleaseWaitsForNoReader(t *testing.T) {
	l, groups := newLog(t, 100, 4000)
	err := l.Replay(1, func(g *Group) error {
		if g.Seq == 1 {
			l.mu.Lock()
			held := l.segments[0].readers
			v := l.hold(l.segments[0]) // Replay itself may be ahead already.
			l.mu.Unlock()
			if err := l.Release(1<<50, 100); err != nil || l.First() != 1 {
				t.Errorf("first %d, %v, %d readers", l.First(), err, held)
			}
			l.letGo(v)
		}
		return sameGroup(g, groups[g.Seq-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(1<<50, 100); err != nil || l.First() != 101 {
		t.Fatal(l.First(), err)
	}
}

// TestEverythingAtOnce appends, releases and reads in both directions. Each reader sees contiguous runs of whole
// groups.
func TestEverythingAtOnce(t *testing.T) {
	l, _ := newLog(t, 0)
	l.opts.Retention = 50 * time.Second
	const n = 600
	groups := make([]*Group, n)
	for i := range groups {
		groups[i] = testGroup(uint64(i+1), int64(i)*1000, 100+i%7*1000)
	}
	chains := make([]Chain, n+1)
	var mu sync.Mutex
	same := func(g *Group) error {
		mu.Lock()
		defer mu.Unlock()
		want := *groups[g.Seq-1]
		want.Chain = chains[g.Seq]
		return sameGroup(g, &want)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	loop := func(f func() error) {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if err := f(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 2 {
		loop(func() error { return runBack(l, same) })
		loop(func() error { return runForward(l, same) })
	}
	loop(func() error {
		last, lastMs, _ := l.Last()
		return l.Release(lastMs, last)
	})
	for _, g := range groups {
		mu.Lock() // Whoever reads the group compares its Chain.
		err := l.Append(g)
		chains[g.Seq] = g.Chain
		mu.Unlock()
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
	end, endMs, _ := l.Last() // The loop may have had no turn for long.
	if err := errors.Join(l.Release(endMs, end), l.Close()); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, testOptions(l.opts.Path))
	if last, _, _ := l.Last(); last != n || l.First() > n-50 || l.First() < 100 {
		t.Fatalf("groups %d to %d are left", l.First(), last)
	}
	readAll(t, l, l.First(), groups)
}

func runBack(l *Log, same func(*Group) error) error {
	var b Block
	before := uint64(0)
	for {
		if err := l.ReadBack(context.Background(), before, 0, 1<<60, 10_000, &b); err != nil || len(b.Groups) == 0 {
			return err
		}
		for i := range b.Groups {
			g := &b.Groups[i]
			if before > 0 && g.Seq != before-1 {
				return errors.New("a gap")
			}
			before = g.Seq
			if err := same(g); err != nil {
				return err
			}
		}
	}
}

// runForward may see a gap where segments were released between two blocks, but never within one.
func runForward(l *Log, same func(*Group) error) error {
	var b Block
	after := uint64(0)
	for {
		if err := l.ReadForward(context.Background(), after, 0, 1<<60, 10_000, &b); err != nil || len(b.Groups) == 0 {
			return err
		}
		for i := range b.Groups {
			g := &b.Groups[i]
			if i > 0 && g.Seq != after+1 {
				return errors.New("a gap")
			}
			after = g.Seq
			if err := same(g); err != nil {
				return err
			}
		}
	}
}

// What a crash left half removed goes at the next start.
func TestLeftoversAreRemoved(t *testing.T) {
	l, groups := newLog(t, 5, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"MARK.tmp", filepath.Base(l.path(7)) + removingSuffix} {
		if err := os.WriteFile(filepath.Join(l.opts.Path, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	readAll(t, openLog(t, l.opts), 1, groups)
	if list := names(t, l.opts.Path); len(list) != 2 {
		t.Fatal(list)
	}
}
