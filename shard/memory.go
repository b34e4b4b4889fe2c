package shard

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
)

// memoryAdvice says what to do when the system gives no memory for devices.
const memoryAdvice = "raise the limits of the process (ulimit -v, vm.max_map_count, vm.overcommit_memory, " +
	"its container's memory) or stop other programs"

// shortage says whether the device table gets the memory that new devices need.
type shortage struct {
	failures atomic.Uint64 // calls of Grow that failed
	refused  atomic.Int64  // room for so many new devices was asked for and refused; 0: there is memory
}

// grow makes room for need new devices and for those that were refused, so that any seal ends a shortage. The gate is
// closed; grew is told the result when it is open again.
func (e *Engine) grow(need int) error {
	return e.o.grow(e.table, max(need, int(e.shortage.refused.Load())), growBytesMax)
}

func (e *Engine) grew(err error) {
	if err != nil {
		e.shortage.failures.Add(1)
	} else if e.shortage.refused.Swap(0) > 0 {
		e.logger.Info("there is memory for new devices again")
	}
}

// enterFor is enter for a caller that may add devices. Connects of devices that the table holds need no room; they are
// told apart only when memory is short, since that costs a look-up each.
func (e *Engine) enterFor(need room) (*lane, error) {
	l, err := e.enter(need.bytes, need.devices)
	if need.devices == 0 || !errors.Is(err, ErrOutOfMemory) {
		return l, err
	}
	n := e.newDevices(need.request)
	if n < need.devices {
		l, err = e.enter(need.bytes, n)
	}
	if errors.Is(err, ErrOutOfMemory) && e.shortage.refused.Swap(int64(n)) == 0 {
		e.logger.Error("no memory for new devices: they are refused until there is some", "do", memoryAdvice)
	}
	return l, err
}

// newDevices counts the connects of devices that the table does not hold.
func (e *Engine) newDevices(r *Request) (n int) {
	e.gate.mu.RLock()
	defer e.gate.mu.RUnlock()
	for i := range r.Batch.Events {
		if r.products[i] != nil && r.Batch.Events[i].Type == event.Connect && e.table.Find(r.keys[i]) == nil {
			n++
		}
	}
	return n
}

// refuseStart adds to an error of recovery what to do if memory was what it lacked.
func refuseStart(err error) error {
	if errors.Is(err, counters.ErrNoMemory) {
		return fmt.Errorf("%w; %s, then start again", err, memoryAdvice)
	}
	return err
}
