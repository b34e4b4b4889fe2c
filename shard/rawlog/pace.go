package rawlog

import (
	"context"
	"runtime"
	"time"
)

// pace keeps the view to a part of the machine while much is decided. It lags then, and catches up later.
type pace struct {
	rows func() uint64 // logged in all
	low  func() bool   // the disk runs short: segments must go

	was    uint64
	wasAt  time.Time
	isBusy bool
}

// busy reports whether more is decided than the view promises to keep up with.
func (p *pace) busy(now time.Time) bool {
	if since := now.Sub(p.wasAt); since >= paceEvery {
		rows := p.rows()
		p.isBusy = !p.wasAt.IsZero() && float64(rows-p.was)/since.Seconds() > paceRows
		p.was, p.wasAt = rows, now
	}
	return p.isBusy && !p.low()
}

// restAfter returns how long to rest after some work, so that the view takes no more than its part of all processors.
func restAfter(took time.Duration, processors int) time.Duration {
	part := pacePart * float64(processors)
	return time.Duration(max(0, float64(took)*(1/part-1)))
}

// rest rests after some work if much is decided.
func (v *View) rest(ctx context.Context, took time.Duration) {
	p := v.pace.Load()
	if p == nil || !p.busy(time.Now()) {
		return
	}
	timer := time.NewTimer(restAfter(took, runtime.GOMAXPROCS(0)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
