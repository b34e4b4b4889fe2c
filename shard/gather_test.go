package shard

import (
	"testing"
	"time"
)

// busy is an engine without goroutines, the first one of whose groups was large and had four requests. It ended
// an hour from now: what waits for time alone would wait for ever.
func busy() (e *Engine, last *group) {
	e = &Engine{gate: newGate(1), stop: make(chan struct{}), failed: make(chan struct{})}
	e.gate.bigBytes = gatherBytesMax
	last = newGroup()
	last.bytes.Store(gatherFromBytes)
	last.entered.Store(4)
	last.ended = time.Now().Add(time.Hour)
	return e, last
}

// enterOpen has requests enter the open group and wait for it.
func enterOpen(e *Engine, requests, bytes int64) {
	e.gate.open.entered.Add(requests)
	e.gate.open.bytes.Add(bytes)
	signal(e.gate.kick)
}

// A group is sealed at once if nobody is about to join it.
func TestGatherWaitsForNobodyElse(t *testing.T) {
	for name, change := range map[string]func(e *Engine, last *group){
		"all are back":               func(e *Engine, _ *group) { enterOpen(e, 4, 1) },
		"the last one was small":     func(_ *Engine, last *group) { last.bytes.Store(gatherFromBytes - 1) },
		"the last one is long over":  func(_ *Engine, last *group) { last.ended = time.Now().Add(-gatherMax) },
		"the committer is busy":      func(e *Engine, _ *group) { e.handed.Store(1) },
		"it is large":                func(e *Engine, _ *group) { enterOpen(e, 1, gatherBytesMax) },
		"somebody wants a cut":       func(e *Engine, _ *group) { e.gate.cuts.add(0, nil) },
		"the engine has failed":      func(e *Engine, _ *group) { close(e.failed) },
		"the engine is to be closed": func(e *Engine, _ *group) { close(e.stop) },
	} {
		t.Run(name, func(*testing.T) {
			e, last := busy()
			change(e, last)
			e.gather(last, 0)
		})
	}
	e, _ := busy()
	e.gather(nil, 0)
}

// It stays open for those whom the last one answered, and for those who waited beside it.
func TestGatherWaitsForThoseInHand(t *testing.T) {
	e, last := busy()
	enterOpen(e, 2, 1)
	done := make(chan int64)
	go func() {
		e.gather(last, 2)
		done <- e.gate.open.entered.Load()
	}()
	for range 4 {
		enterOpen(e, 1, 1)
	}
	if n := <-done; n != 6 {
		t.Fatalf("sealed with %d requests, 6 were in hand", n)
	}
}

// One who sends the next request when the one before is answered waits for nobody, whatever the requests' sizes are.
func TestGatherDoesNotHoldASingleClient(t *testing.T) {
	e, last := busy()
	last.entered.Store(1)
	enterOpen(e, 1, 1)
	e.gather(last, 0)
	if len(e.gate.kick) != 1 { // Whoever waits takes it.
		t.Error("a single client is waited for")
	}
}
