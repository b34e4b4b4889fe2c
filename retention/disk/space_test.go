package disk

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
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

// TestGuardLevels falls through all levels and rises again: each begins below its threshold, and ends with room to
// spare.
func TestGuardLevels(t *testing.T) {
	d := &disk{ballast: "none"}
	o := SpaceOptions{StopBytes: 1000, ResumeBytes: 1100, BallastBytes: 1 << 40, OpenBytes: 1, Free: d.measure}
	const low, stopped, exhausted = 1, 2, 4
	for _, c := range []struct {
		name    string
		reserve uint64
		steps   [][2]uint64 // free bytes, levels
	}{
		{"small state", 0, [][2]uint64{
			{1250, 0},
			{1249, low},
			{1000, low},
			{999, low | stopped},
			{500, low | stopped},
			{499, low | stopped | exhausted},
			{749, low | stopped | exhausted},
			{750, low | stopped},
			{1099, low | stopped},
			{1100, low},
			{1349, low},
			{1350, 0},
			{0, low | stopped | exhausted},
			{1 << 40, 0},
		}},
		// The checkpoint takes 4000: it fits, with half of what else is written, however far administration went.
		{"large state", 4000, [][2]uint64{
			{6250, 0},
			{6249, low},
			{5000, low},
			{4999, low | stopped},
			{4500, low | stopped},
			{4499, low | stopped | exhausted},
			{4749, low | stopped | exhausted},
			{4750, low | stopped},
			{5100, low},
			{6350, 0},
		}},
	} {
		g, err := newGuard("none", o, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		g.Reserve(c.reserve)
		for _, step := range c.steps {
			d.free = step[0]
			if err := g.Check(); err != nil {
				t.Fatal(err)
			}
			is := uint64(0)
			for level, below := range map[uint64]bool{low: g.Low(), stopped: g.Stopped(), exhausted: g.Exhausted()} {
				if below {
					is |= level
				}
			}
			if is != step[1] {
				t.Errorf("%s, %d bytes free: levels %03b, want %03b", c.name, step[0], is, step[1])
			}
		}
	}
}

// TestGuardRoom is about what can wait: it is asked how much it would write, and measured at once.
func TestGuardRoom(t *testing.T) {
	d := &disk{ballast: "none", free: 1500}
	g, err := newGuard("none", SpaceOptions{StopBytes: 1000, BallastBytes: 1 << 40, OpenBytes: 1, Free: d.measure}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		free, bytes uint64
		err         error
		want        bool
	}{
		{1500, 250, nil, true}, // Low begins below 1250.
		{1500, 251, nil, false},
		{1250, 0, nil, true},
		{1249, 0, nil, false},
		{1 << 40, 1<<64 - 1, nil, false},
		{1 << 40, 0, errors.New("unknown"), false},
	} {
		d.free, d.err = c.free, c.err
		if got := g.Room(c.bytes); got != c.want {
			t.Errorf("with %d bytes free and %v there is room for %d: %t", c.free, c.err, c.bytes, got)
		}
	}
}

// TestLevelsKeepTheirOrder holds, for any state and any options, that what matters less stops first.
func TestLevelsKeepTheirOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := SpaceOptions{StopBytes: rapid.Uint64().Draw(t, "stop")}
		o.fill()
		if o.ResumeBytes < o.StopBytes {
			t.Skip("refused by Validate")
		}
		reserve := rapid.Uint64().Draw(t, "reserve")
		l := o.thresholds(reserve)
		if l.exhausted > l.stop || l.stop > l.low || l.exhausted > l.exhaustedEnds || l.exhaustedEnds > l.stop ||
			l.stop > l.stopEnds || l.low > l.lowEnds {
			t.Fatalf("%+v", l)
		}
		if l.exhausted < reserve {
			t.Fatalf("a checkpoint of %d bytes does not fit: %+v", reserve, l)
		}
	})
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
			slog.New(slog.DiscardHandler),
		)
		if err != nil {
			t.Fatal(err)
		}
		var failed atomic.Int64
		go g.Run(t.Context(), time.Second, func(err error) {
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
		free.Store(-1) // One look in vain is none of the daemon's end.
		time.Sleep(measureFailsMax / 2)
		free.Store(10)
		time.Sleep(2 * time.Second)
		free.Store(-1)
		time.Sleep(measureFailsMax / 2)
		synctest.Wait()
		if failed.Load() != 0 || !g.Stopped() {
			t.Fatalf("%d failures told, stopped %v", failed.Load(), g.Stopped())
		}
		time.Sleep(measureFailsMax)
		synctest.Wait()
		if failed.Load() != 1 {
			t.Fatalf("%d failures told", failed.Load())
		}
	})
}

// A ballast that cannot be made ends nothing: it is told, and tried again after a while.
func TestBallastThatCannotBeMadeIsTriedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "not there yet")
	synctest.Test(t, func(t *testing.T) {
		d := &disk{free: 1 << 30, ballast: "none"}
		o := SpaceOptions{StopBytes: 1000, ResumeBytes: 1000, BallastBytes: 4096, Free: d.measure}
		var told strings.Builder
		g, err := newGuard(path, o, slog.New(slog.NewTextHandler(&told, nil)))
		if err != nil {
			t.Fatal(err)
		}
		check := func() {
			t.Helper()
			if err := g.Check(); err != nil {
				t.Fatal(err)
			}
		}
		check()
		check()
		if n := strings.Count(told.String(), "cannot be made"); n != 1 {
			t.Fatalf("told %d times: %s", n, told.String())
		}
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(ballastRetryAfter)
		check()
		if st, err := os.Stat(g.ballast.path); err != nil || st.Size() != 4096 {
			t.Fatal(err)
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
