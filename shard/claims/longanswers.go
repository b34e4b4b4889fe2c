package claims

import (
	"sync"
	"sync/atomic"
)

// longAnswer is an answer that is too long for its sequence's own memory. It is state until the ledger has it.
type longAnswer struct {
	group  uint64
	answer []byte // never changed
}

// longAnswers knows which long answers the ledger does not have yet. The bytes lie with their producers.
type longAnswers struct {
	bytesMax int64
	bytes    atomic.Int64 // of what is in the queue, and reserved
	mu       sync.Mutex
	passed   uint64    // the ledger has the answers of the groups up to it
	queue    []longRef // groups never fall
}

type longRef struct {
	producer *Producer
	sequence uint64
	group    uint64
	bytes    int64
}

// reserve makes room for a long answer of at most n bytes, and returns the number of bytes to give back.
func (l *longAnswers) reserve(n int) (reserved int64, ok bool) {
	reserved = int64(n + longOverheadBytes)
	if l.bytes.Add(reserved) > l.bytesMax {
		l.bytes.Add(-reserved)
		return 0, false
	}
	return reserved, true
}

// add notes an answer of a group, and returns false if the ledger has it already.
func (l *longAnswers) add(r longRef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.group <= l.passed {
		return false
	}
	l.bytes.Add(r.bytes)
	l.queue = append(l.queue, r)
	return true
}

// take removes the answers of the groups up to passed.
func (l *longAnswers) take(passed uint64) []longRef {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed = max(l.passed, passed)
	n := 0
	for n < len(l.queue) && l.queue[n].group <= passed {
		n++
	}
	taken := l.queue[:n:n]
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return taken
}

// LongIsFull reports whether there is no room for another long answer. What recovery reads has room all the same.
func (ps *Producers) LongIsFull() bool { return ps.long.bytes.Load() >= ps.long.bytesMax }

// LongBytes returns how many bytes of long answers wait for the ledger.
func (ps *Producers) LongBytes() int64 { return ps.long.bytes.Load() }

// Passed says that the ledger durably has everything of the groups up to seq: their long answers are forgotten here.
func (ps *Producers) Passed(seq uint64) {
	for _, r := range ps.long.take(seq) {
		ps.long.bytes.Add(-r.bytes)
		r.producer.mu.Lock()
		if a, found := r.producer.pending[r.sequence]; found && a.group <= seq {
			delete(r.producer.pending, r.sequence)
		}
		r.producer.mu.Unlock()
	}
}
