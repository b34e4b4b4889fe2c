package shard

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
)

// turn is one caller inside the gate, at one decided time and under one catalogue. It belongs to its lane.
type turn struct {
	e      *Engine
	l      *lane
	r      *Request // nil unless it decides one
	cat    *license.Catalogue
	nowMs  int64
	nowS   uint64 // device table's seconds
	holder uint32

	// of the event in hand
	ev      *event.Event
	index   int
	product *license.Product
	window  *calendar.Window
	key     counters.Key
	slot    *counters.Slot
	verdict event.Verdict
}

// room is what a caller may add inside the gate.
type room struct {
	request *Request // that it decides, nil without
	bytes   int      // to the group
	devices int      // to the device table, by connects of the request
	atLeap  bool     // it decides although the clock leapt ahead: administration does
}

// withTurn enters the gate, takes the time and the catalogue once, has fn decide, and leaves. It returns the group to
// wait for, nil if fn left no record. Nothing is stored before somebody waits for the group or signals the sealer.
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
	*t = turn{e: e, l: l, r: need.request, cat: e.catalogue.Load(), nowMs: nowMs, nowS: secondOf(nowMs)}
	rows := l.records.Rows()
	err = fn(t)
	logged := l.records.Rows() > rows || !l.records.Empty()
	l.end(logged)
	*t = turn{} // A lane at rest holds no request.
	if e.inside != nil {
		e.inside()
	}
	g := e.gate.leave(l)
	if err != nil || !logged {
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
