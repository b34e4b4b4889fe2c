package ingest

import (
	"sync"
	"sync/atomic"
)

// admission is the memory budget, in bytes, that all requests and streams share.
type admission struct {
	used atomic.Int64
	most int64

	waiting atomic.Int32 // streams in await
	mu      sync.Mutex
	freed   chan struct{} // guarded by mu: closed when bytes were given back; nil if nobody waits for it
}

// take reserves n bytes and returns true, or reserves nothing and returns false.
func (a *admission) take(n int64) bool {
	for {
		used := a.used.Load()
		if used+n > a.most {
			return false
		}
		if a.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

func (a *admission) give(n int64) {
	a.used.Add(-n)
	if a.waiting.Load() == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.freed != nil {
		close(a.freed)
		a.freed = nil
	}
}

// await reserves n bytes as soon as there are so many. It returns false, and has reserved nothing, if over is closed
// first. Of what it reads, a stream that waits holds the buffer, and streamBufferFree bytes of fragments at most, so
// that those that hold more can end.
func (a *admission) await(n int64, over <-chan struct{}) bool {
	if a.take(n) {
		return true
	}
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	for {
		a.mu.Lock()
		if a.freed == nil {
			a.freed = make(chan struct{})
		}
		freed := a.freed
		a.mu.Unlock()
		if a.take(n) {
			return true
		}
		select {
		case <-freed:
		case <-over:
			return false
		}
	}
}

// isHalfFull reports whether memory gets short: nothing is kept then that can be done without.
func (a *admission) isHalfFull() bool { return a.used.Load() > a.most/2 }

// credit returns how many batches a stream may have in flight, given what it may have now. Between a quarter and a half
// of the budget it stays as it is, so that it does not go up and down with every batch.
func (a *admission) credit(now int32) int32 {
	switch used := a.used.Load(); {
	case used < a.most/4:
		return streamCredit
	case used > a.most/4*3:
		return 1
	case used > a.most/2:
		return min(now, streamCreditScarce)
	}
	return now
}
