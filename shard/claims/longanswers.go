package claims

import (
	"encoding/binary"
	"sync"
)

// longAnswer is an answer that is too long for its sequence's own memory. It is state until the ledger has it.
type longAnswer struct {
	group  uint64
	answer []byte // never changed
}

// longAnswers knows which long answers the ledger does not have yet. The bytes lie with their producers.
type longAnswers struct {
	mu     sync.Mutex
	passed uint64    // the ledger has the answers of the groups up to it
	queue  []longRef // groups never fall
}

type longRef struct {
	producer *Producer
	sequence uint64
	group    uint64
}

// add notes an answer of a group, and returns false if the ledger has it already.
func (l *longAnswers) add(r longRef) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.group <= l.passed {
		return false
	}
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

// Passed says that the ledger durably has everything of the groups up to seq: their long answers are forgotten here.
func (ps *Producers) Passed(seq uint64) {
	for _, r := range ps.long.take(seq) {
		r.producer.mu.Lock()
		if a, found := r.producer.pending[r.sequence]; found && a.group <= seq {
			delete(r.producer.pending, r.sequence)
		}
		r.producer.mu.Unlock()
	}
}

// keyAnswers is followed by the producer's ordinal and the sequence: the ledger's long answers.
const keyAnswers = "C"

// AnswerKey returns the ledger's key of a long answer.
func AnswerKey(producer uint32, sequence uint64) []byte {
	k := binary.BigEndian.AppendUint32([]byte(keyAnswers), producer)
	return binary.BigEndian.AppendUint64(k, sequence)
}
