package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/shard/record"
)

const (
	// claimsKept is how many sequences of a producer are remembered: the 256 of the contract, and as many as may be in
	// flight.
	claimsKept = 256 + claimsInFlightMax
	// claimsInFlightMax is how many requests of one producer may wait for their answers at once.
	claimsInFlightMax = 64
	// claimsKeptFor is how long a sequence is remembered at least.
	claimsKeptFor = 24 * time.Hour
	// answerBytesShort holds the answer to a batch that was accepted whole: 10 or 11 bytes.
	answerBytesShort = 15
	// answerBytesInline is the largest answer that is kept in memory: one single event with the numbers of its quota, or
	// two denials. Larger ones lie in the ledger.
	answerBytesInline = 55
)

// Claim is a gateway's right to the same answer when it sends a sequence again.
type Claim struct {
	Sequence uint64
	Hash     [16]byte // of the inflated body
}

// Errors of Submit for a request with a sequence. Nothing was counted.
var (
	// ErrSequenceTooOld means that the sequence lies before what is remembered of its producer.
	ErrSequenceTooOld = errors.New("the sequence is older than what is remembered")
	// ErrSequenceReused means that the sequence was sent with another body.
	ErrSequenceReused = errors.New("the sequence was used for another body")
	// ErrTooManyInFlight means that too many requests of the producer wait for their answers.
	ErrTooManyInFlight = errors.New("too many requests of the producer are in flight")
)

// claim is the Claim of a request that decides it.
type claim = Claim

// remembered is what is known of one sequence: 48 bytes with the sequence, and a sixth more for the ring's room.
type remembered struct {
	hash  [16]byte
	atMs  int64
	short [answerBytesShort]byte // form and compact result
	kept  uint8                  // how many bytes of short the answer has, or where else it is
}

// Where an answer is that is not short.
const (
	answerLong   = 0xfd // in long, or in pending
	answerStored = 0xfe // in the ledger, until then in pending
	undecided    = 0xff // nowhere yet
)

// longAnswer is an answer that is too large for the sequence's own bytes.
type longAnswer struct {
	bytes [answerBytesInline]byte
	n     uint8
}

// unsettled is a decided sequence whose group is not known to be durable.
type unsettled struct {
	sequence uint64
	group    *group
}

// producerClaims are the sequences of one producer. The 10,000 producers that an account may have, with claimsKept
// sequences each, take 176 MB, 55 bytes a sequence with everything (TestClaimsMemory), and 236 MB more if all were
// single events or denied. Nothing is allocated a request.
type producerClaims struct {
	mu        sync.Mutex
	changed   sync.Cond // a sequence was decided or given up
	known     ring[remembered]
	long      ring[longAnswer]
	pending   map[uint64][]byte // on their way to the ledger, or too large and not meant for it
	unsettled []unsettled
	floor     uint64 // below it nothing is remembered
	inFlight  int
}

func newProducerClaims() *producerClaims {
	p := &producerClaims{}
	p.changed.L = &p.mu
	return p
}

// claims are those of all producers, by their ordinals.
type claims struct {
	mu   sync.RWMutex
	list []*producerClaims
}

// of returns the claims of a producer, making them if needed.
func (c *claims) of(producer uint32) *producerClaims {
	c.mu.RLock()
	if int(producer) < len(c.list) && c.list[producer] != nil {
		defer c.mu.RUnlock()
		return c.list[producer]
	}
	c.mu.RUnlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for int(producer) >= len(c.list) {
		c.list = append(c.list, nil)
	}
	if c.list[producer] == nil {
		c.list[producer] = newProducerClaims()
	}
	return c.list[producer]
}

// decidedBefore is what a sequence that is sent again gets.
type decidedBefore struct {
	group  *group // nil when it is durable
	atMs   int64
	answer []byte // empty when it lies in the ledger
}

// begin claims a sequence. mine is true if the caller is to decide it; otherwise it was decided by somebody, and its
// answer is appended to buf. It waits for a request with the same sequence that is being decided.
func (p *producerClaims) begin(c Claim, nowMs int64, buf []byte) (before decidedBefore, mine bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		i, found := p.known.search(c.Sequence)
		if !found {
			switch {
			case c.Sequence < p.floor, p.known.n >= claimsKept && i == 0:
				return before, false, ErrSequenceTooOld // Or it was never sent, and would be forgotten as soon as it is decided.
			case p.inFlight >= claimsInFlightMax:
				return before, false, ErrTooManyInFlight
			}
			p.known.insert(i, c.Sequence, remembered{hash: c.Hash, atMs: nowMs, kept: undecided})
			p.inFlight++
			return before, true, nil
		}
		have := p.known.value(i)
		switch {
		case have.hash != c.Hash:
			return before, false, ErrSequenceReused
		case have.kept != undecided:
			return decidedBefore{group: p.groupOf(c.Sequence), atMs: have.atMs, answer: p.appendAnswer(buf, i)}, false, nil
		}
		p.changed.Wait() // Then it is decided, or given up and free again.
	}
}

// groupOf returns the group of a decided sequence that is not known to be durable, or nil. p.mu is held.
func (p *producerClaims) groupOf(seq uint64) *group {
	for i := range p.unsettled {
		if p.unsettled[i].sequence == seq {
			return p.unsettled[i].group
		}
	}
	return nil
}

// appendAnswer appends the answer of the i-th sequence, nothing if only the ledger has it. p.mu is held.
func (p *producerClaims) appendAnswer(dst []byte, i int) []byte {
	have, seq := p.known.value(i), p.known.sequence(i)
	if int(have.kept) <= answerBytesShort {
		return append(dst, have.short[:have.kept]...)
	}
	if at, found := p.long.search(seq); found {
		a := p.long.value(at)
		return append(dst, a.bytes[:a.n]...)
	}
	return append(dst, p.pending[seq]...)
}

// keep remembers the answer of the i-th sequence. p.mu is held.
func (p *producerClaims) keep(i int, answer []byte) {
	have, seq := p.known.value(i), p.known.sequence(i)
	switch {
	case len(answer) <= answerBytesShort:
		have.kept = uint8(copy(have.short[:], answer))
	case len(answer) <= answerBytesInline:
		have.kept = answerLong
		a := longAnswer{n: uint8(len(answer))}
		copy(a.bytes[:], answer)
		at, _ := p.long.search(seq)
		p.long.insert(at, seq, a)
	default:
		have.kept = answerLong
		if p.pending == nil {
			p.pending = map[uint64][]byte{}
		}
		p.pending[seq] = append([]byte(nil), answer...)
	}
}

// keepPending remembers an answer on its way to the ledger, and returns the copy.
func (p *producerClaims) keepPending(i int, answer []byte) []byte {
	p.keep(i, answer)
	p.known.value(i).kept = answerStored
	return p.pending[p.known.sequence(i)]
}

// forget removes the i-th sequence. p.mu is held.
func (p *producerClaims) forget(i int) {
	if p.known.value(i).kept > answerBytesShort {
		seq := p.known.sequence(i)
		if at, found := p.long.search(seq); found {
			p.long.remove(at)
		}
		delete(p.pending, seq)
	}
	p.known.remove(i)
}

// decide notes the answer, inside the gate; it is good when the group is durable. It returns what the ledger must keep,
// nil if memory does.
func (p *producerClaims) decide(seq uint64, g *group, atMs int64, answer []byte) (stored []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, found := p.known.search(seq)
	if !found || p.known.value(i).kept != undecided {
		panic("BUG: a sequence is decided that nobody has begun")
	}
	p.known.value(i).atMs = atMs
	if len(answer) <= answerBytesInline {
		p.keep(i, answer)
	} else {
		stored = p.keepPending(i, answer)
	}
	p.unsettled = append(p.unsettled, unsettled{seq, g})
	p.changed.Broadcast()
	p.trim(atMs)
	return stored
}

// giveUp frees a sequence whose request was refused whole. One that was decided stays: nobody knows whether it will be
// durable.
func (p *producerClaims) giveUp(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i, found := p.known.search(seq); found && p.known.value(i).kept == undecided {
		p.forget(i)
		p.inFlight--
		p.changed.Broadcast()
	}
}

// trim forgets the lowest sequences beyond what is kept, and those that are too old. p.mu is held.
func (p *producerClaims) trim(nowMs int64) {
	for p.known.n > 0 {
		c := p.known.value(0)
		if c.kept == undecided || (p.known.n <= claimsKept && nowMs-c.atMs < claimsKeptFor.Milliseconds()) {
			return
		}
		p.floor = p.known.sequence(0) + 1
		p.forget(0)
	}
}

// durable forgets the group of a sequence that is durable now. It comes before the first answer, whoever gets that: a
// gateway that was answered may have another request in flight.
func (p *producerClaims) durable(seq uint64) {
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

// decideClaimed is Decide for a request with a sequence.
func (e *Engine) decideClaimed(r *Request) error {
	// The name may be new: then it gets its ordinal in the group that the request enters, and its claims wait under its
	// name.
	p, err := e.claimsOf(r)
	if err != nil {
		return err
	}
	before, mine, err := p.begin(*r.Claim, e.clock.view(), r.answer[:0])
	if err != nil {
		return err
	}
	if !mine {
		r.pending = pending{group: before.group, claims: p, replay: true, before: before}
		return nil
	}
	r.claim, r.claims = r.Claim, p
	g, err := e.decideFresh(r)
	r.claim, r.claims = nil, nil
	if err != nil {
		p.giveUp(r.Claim.Sequence)
		return err
	}
	r.pending = pending{group: g, claims: p}
	return nil
}

// claimsOf returns the claims of the request's producer, giving its name an ordinal first if it has none.
func (e *Engine) claimsOf(r *Request) (*producerClaims, error) {
	if n := e.producers.lookup(r.Account, r.Producer); n != 0 {
		return e.claims.of(n), nil
	}
	l, err := e.enter(rowBytes, 0)
	if err != nil {
		return nil, err
	}
	n, err := e.producers.bind(l, r.Account, r.Producer)
	if err == nil {
		nowMs, ok := e.clock.now()
		if !ok {
			nowMs = e.clock.last.Load()
		}
		l.begin(nowMs, n)
	}
	l.end(!l.records.Empty())
	e.gate.leave(l)
	if err != nil {
		return nil, err
	}
	return e.claims.of(n), nil
}

// replay completes a request whose sequence was decided before, and is durable.
func (e *Engine) replay(r *Request, before decidedBefore) error {
	answer := before.answer
	if len(answer) == 0 {
		var err error
		if answer, err = e.storedAnswer(r); err != nil {
			return err
		}
	}
	r.answer = answer // Its memory is used again.
	if len(answer) == 0 || answer[0] > formSingle {
		return errors.New("a remembered answer is damaged")
	}
	r.Replayed, r.DecidedMs, r.Single = true, before.atMs, answer[0] == formSingle
	return r.Result.Decode(answer[1:])
}

// The forms of an answer. They are remembered, for the same body could be asked for in another one the next time.
const (
	formBatch  = 0
	formSingle = 1
)

// keyAnswers is followed by the producer's ordinal and the sequence: answers that are too large for memory.
const keyAnswers = "C"

func answerKey(producer uint32, seq uint64) []byte {
	k := binary.BigEndian.AppendUint32([]byte(keyAnswers), producer)
	return binary.BigEndian.AppendUint64(k, seq)
}

func (e *Engine) storedAnswer(r *Request) ([]byte, error) {
	value, found, err := e.o.Ledger.Get(answerKey(e.producers.lookup(r.Account, r.Producer), r.Claim.Sequence))
	if err != nil {
		return nil, fmt.Errorf("read an answer: %w", err)
	}
	if !found {
		return nil, ErrSequenceTooOld // Forgotten between the look-up and here.
	}
	return value, nil
}

// claimBatch writes the claim of a decided request into its group, so that claim and effect are one write.
func (t *turn) claimBatch() {
	r := t.r
	form := byte(formBatch)
	if r.Single {
		form = formSingle
	}
	r.answer = r.Result.Append(append(r.answer[:0], form))
	t.l.records.Claim(
		record.Claim{Producer: t.holder, Sequence: r.Claim.Sequence, Hash: r.Claim.Hash, AtMs: t.nowMs, Answer: r.answer},
	)
	if stored := r.claims.decide(r.Claim.Sequence, t.e.gate.open, t.nowMs, r.answer); stored != nil {
		t.l.answers = append(
			t.l.answers,
			answerRow{claims: r.claims, sequence: r.Claim.Sequence, key: answerKey(t.holder, r.Claim.Sequence), value: stored},
		)
	}
}

// answerRow is an answer on its way to the ledger.
type answerRow struct {
	claims   *producerClaims
	sequence uint64
	key      []byte
	value    []byte
}

// stored forgets the bytes of an answer that the ledger has.
func (r *answerRow) stored() {
	r.claims.mu.Lock()
	defer r.claims.mu.Unlock()
	delete(r.claims.pending, r.sequence)
}

// Sequences is what is remembered of a producer.
type Sequences struct {
	Any    bool   // whether one is
	Last   uint64 // the highest
	Oldest uint64 // the lowest
}

// Sequences returns what is remembered of a producer; ok is false if there is none of this name.
func (e *Engine) Sequences(account uint32, producer string) (s Sequences, ok bool, err error) {
	n := e.producers.lookup(account, []byte(producer))
	if n == 0 {
		return Sequences{}, false, e.settle()
	}
	p := e.claims.of(n)
	p.mu.Lock()
	for i := range p.known.n {
		if p.known.value(i).kept != undecided {
			if !s.Any {
				s.Oldest = p.known.sequence(i)
			}
			s.Any, s.Last = true, p.known.sequence(i)
		}
	}
	p.mu.Unlock()
	return s, true, e.settle()
}
