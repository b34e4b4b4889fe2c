package history

import (
	"context"
	"time"
)

// run samples into one store at every aligned instant, fills in what is missing, and ends with ctx. Each store has a
// goroutine of its own, so that none waits for another one.
func (h *History) run(ctx context.Context, t *tier) {
	var lastMs int64
	for {
		began := time.Now()
		more := h.fill(ctx, t)
		pause := sampleEvery - time.Duration(time.Now().UnixMilli()%sampleEvery.Milliseconds())*time.Millisecond
		if more {
			pause = min(pause, max(fillPauseMin, time.Since(began))) // It takes half the time at most.
		}
		if !sleep(ctx, pause) {
			return
		}
		if !h.o.Room.Short() {
			lastMs = h.sample(ctx, t, lastMs)
		}
	}
}

// sample writes a sample unless one was taken of the running instant, and returns the last instant.
func (h *History) sample(ctx context.Context, t *tier, lastMs int64) int64 {
	every := sampleEvery.Milliseconds()
	if h.o.NowMs()/every*every <= lastMs {
		return lastMs // The clock stands still (R12), or this look came early.
	}
	products, nowMs, err := h.o.Source.Now()
	if err != nil {
		h.complain(t, "the history cannot look at the engine", err)
		return lastMs
	}
	atMs := nowMs / every * every
	t.products = products
	if err = t.resume(ctx, nowMs); err == nil {
		err = t.sample(ctx, products, atMs, atMs%refreshEvery.Milliseconds() == 0)
	}
	if err == nil {
		err = t.settle(ctx, atMs)
	}
	if err != nil {
		t.lost()
		h.complain(t, "a store of the history takes no samples; enforcement goes on", err)
	}
	return atMs
}

// fill fills a store by one step, and reports whether there is more to fill.
func (h *History) fill(ctx context.Context, t *tier) (more bool) {
	now := uint32(h.o.NowMs() / quarter.Milliseconds())
	if h.o.Room.Short() || !t.known || t.reached() >= now {
		return false
	}
	if err := h.o.Source.Settle(); err != nil {
		h.complain(t, "the history waits for the ledger", err)
		return false
	}
	more, err := t.fill(ctx, h.o.Source, now)
	if err != nil {
		t.lost()
		h.complain(t, "a store of the history cannot be filled from the ledger; it is tried again", err)
	}
	return more
}

// complain logs an error, but the same one only once in a while.
func (h *History) complain(t *tier, text string, err error) {
	if at, now := t.complained[text], time.Now(); now.Sub(at) >= complainEvery {
		t.complained[text] = now
		h.o.Logger.Error(text, "store", t.name, "error", err)
	}
}
