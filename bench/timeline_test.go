package bench

import (
	"testing"
	"time"
)

func TestTimelineFindsTheLongestStall(t *testing.T) {
	const ms = time.Millisecond
	var one timeline
	for at := range 200 * ms / ms {
		if at < 50 || at >= 90 {
			one.mark(at * ms)
		}
	}
	for _, c := range []struct {
		from, to, want time.Duration
	}{
		{0, 199 * ms, 41 * ms},
		{100 * ms, 199 * ms, ms},
		{0, 1000 * ms, 801 * ms},            // until the end
		{60 * ms, 80 * ms, 20 * ms},         // nothing within
		{85 * ms, 95 * ms, 5 * ms},          // from the beginning
		{300 * ms, 300 * ms, 0},             // no time
		{2000 * ms, 2500 * ms, 500 * ms},    // beyond what was marked
		{0, 199*ms + 300_000, 41 * ms},      // to the millisecond
		{-10 * ms, 10 * ms, 10 * ms},        // before the load
		{49 * ms, 90*ms + 900_000, 41 * ms}, // from mark to mark
	} {
		if got := one.stall(c.from, c.to); got != c.want {
			t.Errorf("%s to %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
	one.mark(65*ms + 300_000)
	if got := one.stall(0, 199*ms); got != 25*ms {
		t.Errorf("with an answer in the middle: %s", got)
	}
	one.mark(100 * time.Second)
	if got := one.stall(0, 100*time.Second); got != 100*time.Second-199*ms {
		t.Errorf("a longer one: %s", got)
	}
}
