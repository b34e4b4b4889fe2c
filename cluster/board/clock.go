package board

import (
	"slices"
	"time"
)

// clock estimates another node's wall clock from what it told. A message takes time, and a process that was paused
// reads old ones: both make the other clock look slow, never fast. So of the last ones the fastest counts.
type clock struct {
	ahead []int64 // it − the monotonic clock of this process, in milliseconds, at the last messages
	next  int
}

// hear takes what it showed, and the time on the monotonic clock at which that came.
func (c *clock) hear(wallMs int64, at time.Duration) {
	v := wallMs - at.Milliseconds()
	if len(c.ahead) < clockSamples {
		c.ahead = append(c.ahead, v)
		return
	}
	c.ahead[c.next%clockSamples] = v
	c.next++
}

// at returns what the clock shows now, Unix milliseconds, false if it was never heard.
func (c *clock) at(now time.Duration) (ms int64, ok bool) {
	if len(c.ahead) == 0 {
		return 0, false
	}
	return slices.Max(c.ahead) + now.Milliseconds(), true
}
