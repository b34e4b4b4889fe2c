package shard

import (
	"errors"
	"sync/atomic"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
)

// turn is one caller inside the gate, at one decided time and under one catalogue. It belongs to its lane.
type turn struct {
	ground
	e     *Engine
	l     *lane
	r     *Request // nil unless it decides one
	cat   *license.Catalogue
	nowMs int64
	nowS  uint64 // device table's seconds
	// quarter is the quarter of an hour of nowMs, since the Unix epoch
	quarter uint32
	holder  uint32

	// of the event in hand
	ev      *event.Event
	index   int
	product *license.Product
	window  *calendar.Window
	told    uint32 // units of a day from which somebody may have to be told (quota.go)
	key     counters.Key
	slot    *counters.Slot
	verdict event.Verdict
	// observed is what the quota would have denied the event with, which was accepted since the product only observes; the
	// verdict has the numbers. Accepted: nothing.
	observed event.Code

	// hasDuplicate says that an event was answered as it was before: the turn waits for its group although it left
	// nothing.
	hasDuplicate bool
}

// room is what a caller may add inside the gate.
type room struct {
	request *Request // that it decides, nil without
	bytes   int      // to the group
	devices int      // to the device table, by connects of the request
	atLeap  bool     // it decides although the clock leapt ahead: administration does
}

// withTurn enters the gate, takes the time and the catalogue once, has fn decide, and leaves. It returns the group to
// wait for, nil if fn left no record and found no duplicate. Nothing is stored before a caller waits for the group or
// signals the sealer.
func (e *Engine) withTurn(need room, fn func(*turn) error) (*group, error) {
	l, err := e.enterFor(need)
	if err != nil {
		return nil, err
	}
	nowMs, ok := e.clock.now()
	if !ok && need.atLeap {
		nowMs, ok = e.clock.seal(), true
	}
	if !ok {
		e.gate.leave(l)
		return nil, ErrClockLeap
	}
	t := &l.turn
	*t = turn{
		ground: e.ground, e: e, l: l, r: need.request, cat: e.catalogue.Load(), nowMs: nowMs, nowS: secondOf(nowMs),
		quarter: uint32(nowMs / record.QuarterMs),
	}
	rows := l.records.Rows()
	err = fn(t)
	logged := l.records.Rows() > rows || !l.records.Empty()
	l.end(logged)
	waits := logged || t.hasDuplicate
	*t = turn{} // A lane at rest holds no request.
	if e.inside != nil {
		e.inside()
	}
	g := e.gate.leave(l)
	if err != nil || !waits {
		return nil, err
	}
	return g, nil
}

// begin starts the rows of the turn, for a producer (0: none).
func (t *turn) begin(holder uint32) {
	t.holder = holder
	t.l.begin(t.nowMs, holder)
}

// secondOf returns the device table's second of an instant.
func secondOf(ms int64) uint64 { return uint64(ms/1000 - epochS) }

// begin starts the rows of a request.
func (l *lane) begin(nowMs int64, holder uint32) {
	if l.firstMs == 0 {
		l.firstMs = nowMs
	}
	l.lastMs = nowMs
	l.records.BeginBatch(nowMs, holder)
}

// end ends the rows of a request. Requests that leave nothing must not make an empty chunk grow.
func (l *lane) end(logged bool) {
	l.records.EndBatch()
	if !logged {
		l.records.Reset()
		if len(l.raw) == 0 {
			l.firstMs, l.lastMs = 0, 0 // The group's times are those of what is in it.
		}
		return
	}
	l.cutChunk()
}

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
