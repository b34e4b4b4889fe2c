package retention

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// disk is a file system with a number for its free space; the ballast takes some of it.
type disk struct {
	free    uint64
	ballast string
	err     error
}

func (d *disk) measure(string) (uint64, error) {
	if st, err := os.Stat(d.ballast); err == nil {
		return d.free - min(d.free, uint64(st.Size())), d.err
	}
	return d.free, d.err
}

func TestGuardStopsAndResumesWithHysteresis(t *testing.T) {
	path := t.TempDir()
	d := &disk{free: 2000, ballast: "none"}
	o := dirOptions(path)
	o.Space = SpaceOptions{StopBytes: 1000, ResumeBytes: 1500, BallastBytes: 100_000, OpenBytes: 10, Free: d.measure}
	dir, err := OpenDir(o)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	g := dir.Guard()
	for i, step := range []struct {
		free, reserve uint64
		stopped       bool
	}{
		{1000, 0, false},
		{999, 0, true},
		{1499, 0, true},
		{1500, 0, false},
		{1000, 0, false},
		{5000, 4000, false},
		{4999, 4000, true},
		{5499, 4000, true},
		{5500, 4000, false},
		{5500, 1 << 63, true},
		{5500, 0, false},
		{1 << 63, ^uint64(0), true}, // More than can be added.
	} {
		d.free = step.free
		g.Reserve(step.reserve)
		if err := g.Check(); err != nil {
			t.Fatal(err)
		}
		if g.Stopped() != step.stopped || g.FreeBytes() != step.free {
			t.Errorf("step %d: stopped %v, %d bytes free", i, g.Stopped(), g.FreeBytes())
		}
	}
	d.err = errors.New("boom")
	if err := g.Check(); !errors.Is(err, d.err) || !g.Stopped() {
		t.Fatalf("stopped %v, %v", g.Stopped(), err)
	}
}

func TestBallastIsGivenUpAndMadeAgain(t *testing.T) {
	path := t.TempDir()
	ballast := filepath.Join(path, "BALLAST")
	const size = 1 << 20
	d := &disk{free: 100 * size, ballast: ballast}
	o := dirOptions(path)
	o.Space = SpaceOptions{StopBytes: 4 * size, BallastBytes: size, OpenBytes: size / 2, Free: d.measure}
	open := func() *Dir {
		t.Helper()
		dir, err := OpenDir(o)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dir := open()
	var st unix.Stat_t
	if err := unix.Stat(ballast, &st); err != nil || st.Size != size || st.Blocks*512 < size {
		t.Fatalf("ballast of %d bytes in %d blocks, %v", st.Size, st.Blocks, err)
	}
	dir.Close()

	// Full but for the ballast: opening gives it up.
	d.free = size
	dir = open()
	if _, err := os.Stat(ballast); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the ballast is still there: %v", err)
	}
	if !dir.Guard().Stopped() {
		t.Fatal("ingest goes on with a full disk")
	}
	// Room for it alone is not enough: it is made again above the threshold at which ingest goes on.
	d.free = 5 * size
	if err := dir.Guard().Check(); err != nil || dir.Guard().Stopped() {
		t.Fatal(err)
	}
	if _, err := os.Stat(ballast); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the ballast was made too early: %v", err)
	}
	d.free = 6 * size
	if err := dir.Guard().Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(ballast); err != nil {
		t.Fatal(err)
	}
	dir.Close()

	// Too full even so: refused, with how much is missing.
	d.free = size / 4
	_, err := OpenDir(o)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "free at least") {
		t.Fatal(err)
	}
}

func TestBallastWhereFallocateIsUnknown(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "zeros"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeZeros(f, 3<<20+5); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != 3<<20+5 {
		t.Fatalf("%v, %v", st, err)
	}
}

func TestGuardRuns(t *testing.T) {
	path := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64 // below 0: it cannot be measured
		free.Store(2000)
		boom := errors.New("boom")
		measure := func(string) (uint64, error) {
			if n := free.Load(); n >= 0 {
				return uint64(n), nil
			}
			return 0, boom
		}
		g, err := newGuard(
			path,
			SpaceOptions{StopBytes: 1000, ResumeBytes: 1500, BallastBytes: 1 << 40, Free: measure},
			discard(),
		)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var failed atomic.Int64
		go g.Run(ctx, time.Second, func(err error) {
			if errors.Is(err, boom) {
				failed.Add(1)
			}
		})
		synctest.Wait()
		free.Store(10)
		time.Sleep(1500 * time.Millisecond) // The bubble's clock.
		if !g.Stopped() {
			t.Fatal("not stopped after a second")
		}
		free.Store(-1)
		time.Sleep(2 * time.Second)
		cancel()
		synctest.Wait()
		if failed.Load() != 2 {
			t.Fatalf("%d failures told", failed.Load())
		}
	})
}

func TestFreeOfThisDisk(t *testing.T) {
	if free, err := Free(t.TempDir()); err != nil || free == 0 {
		t.Fatalf("%d bytes, %v", free, err)
	}
	if _, err := Free("/not/there"); err == nil || !strings.Contains(err.Error(), "/not/there") {
		t.Fatal(err)
	}
}
