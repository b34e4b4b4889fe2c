package shard

import (
	"math"
	"sync/atomic"
	"time"
)

// Clock gives the time: the wall and, by subtraction of two times, the monotonic clock. Tests bring their own.
type Clock interface {
	// Now returns the wall clock's time and how long the process has run by the monotonic one.
	Now() (wall time.Time, running time.Duration)
}

// CatchUp decides at once what time alone decides: ends of licences and of days. It returns when the next licence ends
// that ends soon, Unix milliseconds, 0 if none does. The engine does this by itself a few times a second. A caller that
// moves the Clock calls it after each step, half a minute at most, so that what is decided does not depend on how fast
// steps follow.
func (e *Engine) CatchUp() (nextMs int64, err error) {
	if err := e.expire(); err != nil {
		return 0, err
	}
	return e.expiry.nextMs(), e.closeDays()
}

// SystemClock is the machine's clock.
type SystemClock struct{ started time.Time }

// NewSystemClock starts measuring now.
func NewSystemClock() SystemClock { return SystemClock{started: time.Now()} }

// Now implements Clock.
func (c SystemClock) Now() (time.Time, time.Duration) {
	now := time.Now()
	return now, now.Sub(c.started) // Subtraction uses the monotonic reading.
}

// decidedClock makes the times at which events are decided: they never go back, also across restarts, and a wall clock
// that leaps ahead of the monotonic one is noticed before a day is begun that cannot be taken back (R12).
type decidedClock struct {
	clock  Clock
	offset atomic.Int64 // wall − monotonic as it was confirmed, nanoseconds
	last   atomic.Int64 // the latest decided time, Unix milliseconds
	// follows says that another node decides. Its times count then, and how long ago they were by the monotonic clock: a
	// wall clock that is ahead of the owner's would have a standby delete what is not old.
	follows atomic.Bool
}

func newDecidedClock(c Clock, lastMs int64) *decidedClock {
	d := &decidedClock{clock: c}
	d.last.Store(lastMs)
	d.confirm()
	return d
}

// confirm takes the wall clock as it is for right.
func (d *decidedClock) confirm() {
	wall, running := d.clock.Now()
	d.offset.Store(wall.UnixNano() - int64(running))
}

// leapt reports whether the wall clock is ahead by more than an hour.
func (d *decidedClock) leapt() bool {
	wall, running := d.clock.Now()
	return wall.UnixNano()-int64(running)-d.offset.Load() > int64(leapMax)
}

// now returns the time to decide at, Unix milliseconds; ok is false when the clock leapt ahead.
func (d *decidedClock) now() (ms int64, ok bool) {
	wall, running := d.clock.Now()
	if wall.UnixNano()-int64(running)-d.offset.Load() > int64(leapMax) {
		return 0, false
	}
	ms = wall.UnixMilli()
	for {
		last := d.last.Load()
		if ms <= last {
			return last, true
		}
		if d.last.CompareAndSwap(last, ms) {
			return ms, true
		}
	}
}

// seal returns the time of what is decided between two groups: not before any decision of the group that ends, not
// after any of the next one. During a leap it is what the monotonic clock says.
func (d *decidedClock) seal() int64 {
	ms := d.view()
	for {
		last := d.last.Load()
		if ms <= last {
			return last
		}
		if d.last.CompareAndSwap(last, ms) {
			return ms
		}
	}
}

// follow has the clock go by the times of another node, from the latest decided one on.
func (d *decidedClock) follow() {
	d.offset.Store(math.MinInt64)
	d.follows.Store(true)
	d.hear(d.last.Load())
}

// hear notes what the clock of the node shows that decides, Unix milliseconds. One goroutine at a time calls it.
func (d *decidedClock) hear(ms int64) {
	_, running := d.clock.Now()
	d.offset.Store(max(d.offset.Load(), ms*int64(time.Millisecond)-int64(running)))
}

// reach notes a decided time of another node.
func (d *decidedClock) reach(ms int64) {
	d.last.Store(max(d.last.Load(), ms))
	d.hear(ms)
}

// decides has the clock go by the wall clock, which is taken for right.
func (d *decidedClock) decides() {
	d.follows.Store(false)
	d.confirm()
}

// view returns the time for looking: never before the last decision; during a leap, and of a standby, what the
// monotonic clock says.
func (d *decidedClock) view() int64 {
	wall, running := d.clock.Now()
	if d.follows.Load() || d.leapt() {
		wall = time.Unix(0, d.offset.Load()+int64(running))
	}
	return max(wall.UnixMilli(), d.last.Load())
}
