package rawlog

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// While more is decided than the view promises to keep up with, it takes a tenth of the processors; on a disk that runs
// short it does not rest.
func TestPace(t *testing.T) {
	rows, low := uint64(0), false
	p := pace{rows: func() uint64 { return rows }, low: func() bool { return low }}
	now := time.Unix(1000, 0)
	for i, x := range []struct {
		more  uint64
		short bool
		busy  bool
	}{
		{5_000_000, false, false},
		{500_000, false, false},
		{2_000_000, false, true},
		{2_000_000, true, false},
		{0, false, false},
	} {
		rows, low, now = rows+x.more, x.short, now.Add(time.Second)
		if got := p.busy(now); got != x.busy {
			t.Errorf("second %d: busy is %v", i, got)
		}
	}
	for processors, want := range map[int]time.Duration{1: 9 * time.Second, 2: 4 * time.Second, 10: 0, 64: 0} {
		if got := restAfter(time.Second, processors).Round(time.Millisecond); got != want {
			t.Errorf("%d processors: a rest of %s", processors, got)
		}
	}
}

// TestSteps: long work rests after each slice for as long as its part of the processors asks, and not at all once it is
// told to end, or while little is decided.
func TestSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, done := uint64(0), make(chan struct{})
		p := pace{rows: func() uint64 { return rows }, low: func() bool { return false }, done: done}
		work := func(more uint64) time.Duration {
			p.began, p.wasAt = time.Now().Add(-sliceMin), time.Now().Add(-paceEvery)
			rows += more
			began := time.Now()
			p.step()
			return time.Since(began)
		}
		rest := restAfter(sliceMin, runtime.GOMAXPROCS(0))
		work(0)
		if got := work(paceRows); got != rest {
			t.Errorf("much is decided: a rest of %v, want %v", got, rest)
		}
		if got := work(0); got != 0 {
			t.Errorf("nothing is decided: a rest of %v", got)
		}
		close(done)
		if got := work(paceRows); got != 0 {
			t.Errorf("it is to end: a rest of %v", got)
		}
	})
}
