package claims

import (
	"errors"
	"slices"
	"sync"
)

// Claim is a gateway's right to the same answer when it sends a sequence again.
type Claim struct {
	Sequence uint64
	Hash     [16]byte // of the inflated body
}

// Errors of Begin. Nothing was counted.
var (
	// ErrTooOld means that the sequence lies before what is remembered of its producer.
	ErrTooOld = errors.New("the sequence is older than what is remembered")
	// ErrReused means that the sequence was sent with another body.
	ErrReused = errors.New("the sequence was used for another body")
	// ErrTooManyInFlight means that too many requests of the producer wait for their answers.
	ErrTooManyInFlight = errors.New("too many requests of the producer are in flight")
	// ErrForgotten means that the producer was forgotten since it was found: the request begins anew, as a new one.
	ErrForgotten = errors.New("the producer is forgotten")
	// ErrNoRoom means that there is no memory for another sequence, or for its answer, which could be long while the
	// ledger is far behind with long answers.
	ErrNoRoom   = errors.New("there is no room for another sequence or a long answer")
	errNoMemory = errors.New("there is no memory for another sequence")
	// ErrUnavailable means that the sequence was decided, but that its answer cannot be read from the ledger now.
	ErrUnavailable = errors.New("the answer cannot be read now")
)

// Group is what a decided sequence waits for: its claim is durable with it.
type Group interface {
	// IsDone reports whether the group is durable, or never will be.
	IsDone() bool
}

// remembered is what is known of one sequence: 48 bytes with the sequence, and a sixth more for the ring's room.
type remembered struct {
	hash  [16]byte
	atMs  int64
	short [shortBytesMax]byte // form and compact result
	kept  uint8               // how many bytes of short the answer has, or where else it is
}

// Where an answer is that is not short.
const (
	keptMedium = 0xfd
	keptLong   = 0xfe // in pending, or else in the ledger
	undecided  = 0xff // nowhere yet
)

// mediumAnswer is an answer that is too long for the sequence's own bytes, but kept with it.
type mediumAnswer struct {
	bytes [AnswerBytesKept]byte
	n     uint8
}

// unsettled is a decided sequence whose group is not known to be durable.
type unsettled struct {
	sequence uint64
	group    Group
}

// memory is what is remembered of one producer's sequences. The 10,000 producers that an account may have, with keptMax
// sequences each, take 176 MB, 55 bytes a sequence with everything (TestMemory), and 236 MB more if all were single
// events or denied. Nothing is allocated a request.
type memory struct {
	mu        sync.Mutex
	changed   sync.Cond // a sequence was decided or given up
	known     ring[remembered]
	medium    ring[mediumAnswer]
	pending   map[uint64]longAnswer // that the ledger does not have yet
	unsettled []unsettled
	floor     uint64 // below it nothing is remembered
	takes     int64  // bytes, as the budget knows them
	inFlight  int
}

// found is what a sequence that is sent again gets.
type found struct {
	group  Group // nil when it is durable
	atMs   int64
	answer []byte // empty when it lies in the ledger
}

// begin claims a sequence. mine is true if the caller is to decide it; otherwise it was decided by somebody, and its
// answer is appended to buf. It waits for a request with the same sequence that is being decided.
func (p *Producer) begin(c Claim, nowMs int64, buf []byte) (before found, mine bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		i, known := p.known.search(c.Sequence)
		if !known {
			switch {
			case c.Sequence < p.floor, p.known.n >= keptMax && i == 0:
				return before, false, ErrTooOld // Or it was never sent, and would be forgotten as soon as it is decided.
			case p.inFlight >= inFlightMax && !p.settleDone():
				return before, false, ErrTooManyInFlight
			case p.known.isFull() && !p.all.mayGrow(len(p.known.values) == 0):
				return before, false, errNoMemory
			}
			p.known.insert(i, c.Sequence, remembered{hash: c.Hash, atMs: nowMs, kept: undecided})
			p.inFlight++
			p.account()
			return before, true, nil
		}
		have := p.known.value(i)
		switch {
		case have.hash != c.Hash:
			return before, false, ErrReused
		case have.kept != undecided:
			return found{group: p.groupOf(c.Sequence), atMs: have.atMs, answer: p.appendAnswer(buf, i)}, false, nil
		}
		p.changed.Wait() // Then it is decided, or given up and free again.
	}
}

// groupOf returns the group of a decided sequence that is not known to be durable, or nil. p.mu is held.
func (p *memory) groupOf(seq uint64) Group {
	for i := range p.unsettled {
		if p.unsettled[i].sequence == seq {
			return p.unsettled[i].group
		}
	}
	return nil
}

// appendAnswer appends the answer of the i-th sequence, nothing if only the ledger has it. p.mu is held.
func (p *memory) appendAnswer(dst []byte, i int) []byte {
	have, seq := p.known.value(i), p.known.sequence(i)
	switch {
	case have.kept <= shortBytesMax:
		return append(dst, have.short[:have.kept]...)
	case have.kept == keptLong:
		return append(dst, p.pending[seq].answer...)
	}
	at, _ := p.medium.search(seq)
	a := p.medium.value(at)
	return append(dst, a.bytes[:a.n]...)
}

// keep remembers an answer of at most AnswerBytesKept bytes as that of the i-th sequence. p.mu is held.
func (p *memory) keep(i int, answer []byte) {
	have, seq := p.known.value(i), p.known.sequence(i)
	if len(answer) <= shortBytesMax {
		have.kept = uint8(copy(have.short[:], answer))
		return
	}
	have.kept = keptMedium
	a := mediumAnswer{n: uint8(len(answer))}
	copy(a.bytes[:], answer)
	at, _ := p.medium.search(seq)
	p.medium.insert(at, seq, a)
}

// keepLong remembers an answer of a group until the ledger has it. p.mu is held.
func (p *Producer) keepLong(i int, group uint64, answer []byte) {
	p.known.value(i).kept = keptLong
	seq := p.known.sequence(i)
	if !p.all.long.add(longRef{p, seq, group, int64(len(answer) + longOverheadBytes)}) {
		return
	}
	if p.pending == nil {
		p.pending = map[uint64]longAnswer{}
	}
	p.pending[seq] = longAnswer{group: group, answer: slices.Clone(answer)}
}

// forget removes the i-th sequence. p.mu is held.
func (p *memory) forget(i int) {
	seq := p.known.sequence(i)
	switch p.known.value(i).kept {
	case keptMedium:
		at, _ := p.medium.search(seq)
		p.medium.remove(at)
	case keptLong:
		delete(p.pending, seq)
	}
	p.known.remove(i)
}

// decide notes the answer, inside the gate; it is good when the group is durable.
func (p *Producer) decide(seq uint64, g Group, group uint64, atMs int64, answer []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, known := p.known.search(seq)
	if !known || p.known.value(i).kept != undecided {
		panic("BUG: a sequence is decided that nobody has begun")
	}
	p.known.value(i).atMs = atMs
	if len(answer) <= AnswerBytesKept {
		p.keep(i, answer)
	} else {
		p.keepLong(i, group, answer)
	}
	p.unsettled = append(p.unsettled, unsettled{seq, g})
	p.changed.Broadcast()
	p.trim(atMs)
	p.account()
}

// giveUp frees a sequence whose request was refused whole. One that was decided stays: nobody knows whether it will be
// durable.
func (p *memory) giveUp(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, known := p.known.search(seq); known && p.known.value(i).kept == undecided {
		p.forget(i)
		p.inFlight--
		p.changed.Broadcast()
	}
}

// trim forgets the lowest sequences beyond what is kept, and those that are too old. p.mu is held.
func (p *memory) trim(nowMs int64) {
	p.trimExcess()
	for p.known.n > 0 && p.known.value(0).kept != undecided &&
		nowMs-p.known.value(0).atMs >= KeptFor.Milliseconds() {
		p.forgetLowest()
	}
}

// trimExcess forgets the lowest sequences beyond what is kept, but none that is being decided. p.mu is held.
func (p *memory) trimExcess() {
	for p.known.n > keptMax && p.known.value(0).kept != undecided {
		p.forgetLowest()
	}
}

func (p *memory) forgetLowest() {
	p.floor = p.known.sequence(0) + 1
	p.forget(0)
}

// settle forgets the group of a sequence that is durable now. It comes before the first answer, whoever gets that: a
// gateway that was answered may have another request in flight.
func (p *memory) settle(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.unsettled {
		if p.unsettled[i].sequence == seq {
			p.unsettled = slices.Delete(p.unsettled, i, i+1)
			p.inFlight--
			return
		}
	}
}

// settleDone settles sequences whose groups are done although nobody has said so yet, and returns false if none is.
// p.mu is held.
func (p *memory) settleDone() bool {
	before := len(p.unsettled)
	p.unsettled = slices.DeleteFunc(p.unsettled, func(u unsettled) bool { return u.group.IsDone() })
	p.inFlight -= before - len(p.unsettled)
	return len(p.unsettled) < before
}

// Sequences is what is remembered of a producer.
type Sequences struct {
	Any    bool   // whether one is
	Last   uint64 // the highest
	Oldest uint64 // the lowest
	Floor  uint64 // sequences below it were forgotten, if there were any
}

// Sequences returns what is remembered of the producer. It may show what is not durable yet.
func (p *Producer) Sequences() (s Sequences) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Floor = p.floor
	for i := range p.known.n {
		if p.known.value(i).kept != undecided {
			if !s.Any {
				s.Oldest = p.known.sequence(i)
			}
			s.Any, s.Last = true, p.known.sequence(i)
		}
	}
	return s
}

// InFlight returns how many requests of the producer have begun a sequence and are not settled.
func (p *Producer) InFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inFlight
}
