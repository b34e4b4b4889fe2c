package rawlog

import (
	"runtime"
	"time"
)

// pace keeps one goroutine's work from holding up those who decide events. It is cut into slices: behind each the
// runtime may run others, which it would let wait for ten milliseconds else. While much is decided the goroutine rests
// behind each slice, so that it takes a part of the machine only: the view lags then, and catches up later.
type pace struct {
	rows func() uint64   // logged in all
	low  func() bool     // the disk runs short: segments must go
	done <-chan struct{} // closed when there is to be no rest any more

	began  time.Time // of the slice
	was    uint64
	wasAt  time.Time
	isBusy bool
}

// step is called every few hundred microseconds of work.
func (p *pace) step() {
	now := time.Now()
	took := now.Sub(p.began)
	if took < sliceMin {
		return
	}
	if p.busy(now) {
		p.sleep(restAfter(min(took, sliceMax), runtime.GOMAXPROCS(0)))
	} else {
		runtime.Gosched()
	}
	p.began = time.Now()
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

// restAfter returns how long to rest after some work, so that it takes no more than its part of all processors.
func restAfter(took time.Duration, processors int) time.Duration {
	part := pacePart * float64(processors)
	return time.Duration(max(0, float64(took)*(1/part-1)))
}

func (p *pace) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.done:
	}
}
