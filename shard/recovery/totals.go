package recovery

import (
	"encoding/binary"
	"sync"

	"github.com/meterd/meterd/shard/record"
)

// Totals is the usage of every product by quarters of an hour, as far as the ledger does not have it. It changes only
// while the gate is closed, so between two groups it is exactly what the log says.
type Totals struct {
	sync.Mutex
	quarters map[record.Quarter]*quarterSum
}

// quarterSum is one quarter, and the last group that changed it.
type quarterSum struct {
	record.Totals
	seq uint64
}

func (t *Totals) init() { t.quarters = map[record.Quarter]*quarterSum{} }

func (t *Totals) sum(q record.Quarter) *quarterSum {
	sum := t.quarters[q]
	if sum == nil {
		sum = &quarterSum{}
		t.quarters[q] = sum
	}
	return sum
}

// Add adds what was gathered for group seq, and reports whether the group touches the quarter for the first time. The
// gate is closed, and the caller holds Lock.
func (t *Totals) Add(q record.Quarter, d *record.Totals, seq uint64) (first bool) {
	sum := t.sum(q)
	sum.Add(d)
	first = sum.seq != seq
	sum.seq = seq
	return first
}

// Join raises a quarter to what a record of group seq or a checkpoint says of it; recovery only.
func (t *Totals) Join(q record.Quarter, d *record.Totals, seq uint64) {
	sum := t.sum(q)
	sum.Join(d)
	sum.seq = max(sum.seq, seq)
}

// Forget drops quarters before the running one that the ledger has. Decided times never go back, so they do not change
// any more.
func (t *Totals) Forget(running uint32, passed uint64) {
	t.Lock()
	defer t.Unlock()
	for q, sum := range t.quarters {
		if q.Number < running && sum.seq <= passed {
			delete(t.quarters, q)
		}
	}
}

// sections returns all quarters of an hour as a checkpoint holds them.
func (t *Totals) sections() [][]byte {
	t.Lock()
	defer t.Unlock()
	var s sections
	for q, sum := range t.quarters {
		s.add(func(dst []byte) []byte {
			return appendEntry(dst, func(row []byte) []byte {
				row = binary.LittleEndian.AppendUint32(row, q.Product)
				row = binary.LittleEndian.AppendUint32(row, q.Number)
				return sum.Append(row)
			})
		})
	}
	return s.all()
}

// Of returns a quarter as it stands. The caller holds Lock.
func (t *Totals) Of(q record.Quarter) record.Totals { return t.quarters[q].Totals }

// Each calls fn for every quarter that is held. The caller holds Lock.
func (t *Totals) Each(fn func(record.Quarter, *record.Totals)) {
	for q, sum := range t.quarters {
		fn(q, &sum.Totals)
	}
}
