package recovery

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/meterd/meterd/shard/record"
)

// Totals is the usage of every product by quarters of an hour, as far as the ledger does not have it. It changes only
// while the gate is closed, so between two groups it is exactly what the log says.
type Totals struct {
	sync.Mutex
	quarters map[record.Quarter]*quarterSum
	order    []record.Quarter // as they began
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
		t.order = append(t.order, q)
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

// LetGo forgets quarters before the running one whose last change lies in a group up to passed, at most letGoASeal of
// them. The gate is closed, and everything that was gathered has been added: decided times never go back, so these
// quarters do not change any more.
func (t *Totals) LetGo(running uint32, passed uint64) {
	t.Lock()
	defer t.Unlock()
	n := 0
	for ; n < len(t.order) && n < letGoASeal; n++ {
		if q := t.order[n]; q.Number >= running || t.quarters[q].seq > passed {
			break
		}
		delete(t.quarters, t.order[n])
	}
	t.order = t.order[n:]
}

// sections returns all quarters of an hour as a checkpoint holds them. It lets the gate pass every so often: what
// changes meanwhile is replayed, and what goes meanwhile the ledger has.
func (t *Totals) sections() [][]byte {
	t.Lock()
	order := slices.Clone(t.order)
	t.Unlock()
	var s sections
	for some := range slices.Chunk(order, letGoASeal) {
		t.Lock()
		for _, q := range some {
			if sum := t.quarters[q]; sum != nil {
				s.add(func(dst []byte) []byte { return appendQuarter(dst, q, sum) })
			}
		}
		t.Unlock()
	}
	return s.all()
}

func appendQuarter(dst []byte, q record.Quarter, sum *quarterSum) []byte {
	return appendEntry(dst, func(row []byte) []byte {
		row = binary.LittleEndian.AppendUint32(row, q.Product)
		row = binary.LittleEndian.AppendUint32(row, q.Number)
		return sum.Append(row)
	})
}

// Of returns a quarter as it stands. The caller holds Lock.
func (t *Totals) Of(q record.Quarter) record.Totals { return t.quarters[q].Totals }

// Each calls fn for every quarter that is held. The caller holds Lock.
func (t *Totals) Each(fn func(record.Quarter, *record.Totals)) {
	for q, sum := range t.quarters {
		fn(q, &sum.Totals)
	}
}
