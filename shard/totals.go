package shard

import (
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// totals is the usage of every product by quarters of an hour, as far as the ledger does not have it for good. It
// changes only while the gate is closed, so between two groups it is exactly what the log says.
type totals struct {
	mu       sync.Mutex
	quarters map[record.Quarter]*record.Totals
	dirty    map[record.Quarter]struct{} // changed since they were last written to the ledger
	touched  []record.Quarter            // by the group that is being sealed
}

// add adds what a lane gathered and notes the quarter once in touched. t.mu is held.
func (t *totals) add(q record.Quarter, d *record.Totals, touched []record.Quarter) []record.Quarter {
	sum := t.quarters[q]
	if sum == nil {
		sum = &record.Totals{}
		t.quarters[q] = sum
	}
	sum.Add(d)
	t.mark(q)
	for _, have := range touched {
		if have == q {
			return touched
		}
	}
	return append(touched, q)
}

func (t *totals) mark(q record.Quarter) {
	if t.dirty == nil {
		t.dirty = map[record.Quarter]struct{}{}
	}
	t.dirty[q] = struct{}{}
}

// join raises a quarter to what a record or checkpoint says of it; recovery only.
func (t *totals) join(q record.Quarter, d *record.Totals) {
	sum := t.quarters[q]
	if sum == nil {
		sum = &record.Totals{}
		t.quarters[q] = sum
	}
	sum.Join(d)
	t.mark(q)
}

// verdictCounts are events by type and verdict since the process began.
type verdictCounts [event.Types][event.Codes]atomic.Uint64

// take adds what a lane counted and empties it. The gate is closed.
func (v *verdictCounts) take(l *lane) {
	for t := range l.verdicts {
		for c, n := range l.verdicts[t] {
			if n > 0 {
				v[t][c].Add(n)
				l.verdicts[t][c] = 0
			}
		}
	}
}
