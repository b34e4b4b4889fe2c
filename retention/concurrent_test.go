package retention

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// TestAppendScanDrop runs everything at once over rotating directories: each scan sees a contiguous run of whole
// groups.
func TestAppendScanDrop(t *testing.T) {
	l, groups := newLog(t, 1, 10, 200, 2000)
	l.opts.Retention = 100 * time.Second
	const n = 400
	for seq := uint64(2); seq <= n; seq++ {
		groups = append(groups, testGroup(seq, int64(seq)*1000, int64(seq)*1000, 200, 2000))
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for reader := range 6 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					scanRun(t, l, groups, reader%2 == 1)
				}
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				last, lastMs := l.Last()
				if err := l.Drop(lastMs, last); err != nil {
					t.Error(err)
				}
			}
		}
	})
	for _, g := range groups[1:] {
		if err := l.Append(g); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	again := openLog(t, l.opts.Path, 10)
	if last, _ := again.Last(); last != n || again.First() > n-100 {
		t.Fatalf("groups %d to %d are left", again.First(), last)
	}
}

// scanRun scans everything once. Directories may go while it runs, so the run may begin late.
func scanRun(t *testing.T, l *Log, groups []*Group, newestFirst bool) {
	before := uint64(0)
	err := l.Scan(context.Background(), 0, 1<<60, newestFirst, func(g *Group) (bool, error) {
		if newestFirst && before > 0 && g.Seq != before-1 || !newestFirst && g.Seq <= before {
			t.Errorf("group %d after group %d", g.Seq, before)
		}
		before = g.Seq
		if g.Seq%7 == 0 {
			if err := g.Load(); err != nil {
				return false, err
			}
			return true, sameGroup(g, groups[g.Seq-1])
		}
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFewDirectoriesAreOpenAndIdleOnesAreClosed(t *testing.T) {
	l, groups := newLog(t, 100, 10, 100)
	if err := l.Replay(1, func(g *Group) error { return sameGroup(g, groups[g.Seq-1]) }); err != nil {
		t.Fatal(err)
	}
	l.pool.wg.Wait()
	if n := len(l.pool.open); n < 1 || n > ScansMax {
		t.Fatalf("%d directories are open for reading", n)
	}
	l.pool.idle = 0
	l.pool.closeIdle()
	l.pool.wg.Wait()
	if n := len(l.pool.open); n != 0 {
		t.Fatalf("%d idle directories are open", n)
	}
	scanRun(t, l, groups, false)
}

func TestScanStops(t *testing.T) {
	l, _ := newLog(t, 30, 10, 100)
	ctx, cancel := context.WithCancel(context.Background())
	seen := 0
	err := l.Scan(ctx, 0, 1<<60, false, func(*Group) (bool, error) {
		if seen++; seen == 5 {
			cancel()
		}
		return true, nil
	})
	if !errors.Is(err, context.Canceled) || seen != 5 {
		t.Fatalf("%d groups, %v", seen, err)
	}
	boom := errors.New("boom")
	if err := l.Scan(
		context.Background(),
		0,
		1<<60,
		true,
		func(*Group) (bool, error) { return true, boom },
	); !errors.Is(
		err,
		boom,
	) {
		t.Fatal(err)
	}
	if err := l.Replay(3, func(*Group) error { return boom }); !errors.Is(err, boom) {
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
	} {
		l, _ := newLog(t, 0, 10)
		if err := l.Append(g); err == nil {
			t.Errorf("%s: it was appended", name)
		}
		if last, _ := l.Last(); last != 0 {
			t.Errorf("%s: last group %d", name, last)
		}
	}
}

// TestLargestGroup has as many chunks as are allowed, then one chunk as large as is allowed.
func TestLargestGroup(t *testing.T) {
	l, _ := newLog(t, 0, 10)
	var groups []*Group
	sizes := make([]int, ChunksMax)
	for i := range sizes {
		sizes[i] = commitValueThresholdBytes - 1
	}
	groups = append(groups, testGroup(1, 0, 0, sizes...), testGroup(2, 0, 0, 20<<20), testGroup(3, 0, 0, 10))
	for _, g := range groups {
		if err := l.Append(g); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if last, err := verify(l.opts.Path, groups); err != nil || last != 3 {
		t.Fatalf("last group %d, %v", last, err)
	}
}
