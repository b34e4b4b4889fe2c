package shard

import (
	"sync"
	"sync/atomic"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// totals is the usage of every product by quarters of an hour, as far as the ledger does not have it. It changes only
// while the gate is closed, so between two groups it is exactly what the log says.
type totals struct {
	mu       sync.Mutex
	quarters map[record.Quarter]*quarterSum
	touched  []record.Quarter // by the group that is being sealed
}

// quarterSum is one quarter, and the last group that changed it.
type quarterSum struct {
	record.Totals
	seq uint64
}

func (t *totals) init() { t.quarters = map[record.Quarter]*quarterSum{} }

func (t *totals) sum(q record.Quarter) *quarterSum {
	sum := t.quarters[q]
	if sum == nil {
		sum = &quarterSum{}
		t.quarters[q] = sum
	}
	return sum
}

// add adds what a lane gathered for group seq, and notes the quarter once in touched. t.mu is held.
func (t *totals) add(q record.Quarter, d *record.Totals, seq uint64, touched []record.Quarter) []record.Quarter {
	sum := t.sum(q)
	sum.Add(d)
	if sum.seq == seq {
		return touched
	}
	sum.seq = seq
	return append(touched, q)
}

// join raises a quarter to what a record of group seq or a checkpoint says of it; recovery only.
func (t *totals) join(q record.Quarter, d *record.Totals, seq uint64) {
	sum := t.sum(q)
	sum.Join(d)
	sum.seq = max(sum.seq, seq)
}

// forget drops quarters before the running one that the ledger has. Decided times never go back, so they do not change
// any more.
func (t *totals) forget(running uint32, passed uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for q, sum := range t.quarters {
		if q.Number < running && sum.seq <= passed {
			delete(t.quarters, q)
		}
	}
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
