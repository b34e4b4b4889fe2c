package rawlog

import (
	"testing"
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
