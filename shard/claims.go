package shard

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/meterd/meterd/retention/record"
)

const (
	// claimsKept is how many sequences of a producer are remembered: the 256 of the contract, and as many as may be in flight.
	claimsKept = 256 + claimsInFlightMax
	// claimsInFlightMax is how many requests of one producer may wait for their answers at once.
	claimsInFlightMax = 64
	// claimsKeptFor is how long a sequence is remembered at least.
	claimsKeptFor = 24 * time.Hour
	// answerBytesInline is the largest answer that is kept in memory; larger ones, with many denials, lie in the ledger.
	answerBytesInline = 64
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

// claim is what is remembered of one sequence. Its fields change under the lock of its producer's claims until decided is set.
type claim struct {
	hash     [16]byte
	decided  bool          // the answer stands, and is durable when group is
	group    *group        // nil when it is durable
	done     chan struct{} // closed when it is decided or given up; nil after recovery
	atMs     int64
	answer   []byte // form and compact result; nil when it lies in the ledger
	inLedger bool
}

// producerClaims are the sequences of one producer.
type producerClaims struct {
	mu       sync.Mutex
	bySeq    map[uint64]*claim
	order    []uint64 // sorted
	floor    uint64   // below it nothing is remembered
	inFlight int
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
		c.list[producer] = &producerClaims{bySeq: map[uint64]*claim{}}
	}
	return c.list[producer]
}

// begin claims a sequence. mine is true if the caller is to decide it; otherwise known was decided by somebody, and its group may not be
// durable yet. It waits for a request with the same sequence that is being decided.
func (p *producerClaims) begin(c Claim, nowMs int64) (known *claim, mine bool, err error) {
	for {
		p.mu.Lock()
		have := p.bySeq[c.Sequence]
		if have == nil {
			defer p.mu.Unlock()
			switch {
			case c.Sequence < p.floor, len(p.order) >= claimsKept && c.Sequence < p.order[0]:
				return nil, false, ErrSequenceTooOld // Or it was never sent, and would be forgotten as soon as it is decided.
			case p.inFlight >= claimsInFlightMax:
				return nil, false, ErrTooManyInFlight
			}
			fresh := &claim{hash: c.Hash, done: make(chan struct{}), atMs: nowMs}
			p.insert(c.Sequence, fresh)
			p.inFlight++
			return fresh, true, nil
		}
		same, decided, done := have.hash == c.Hash, have.decided, have.done
		p.mu.Unlock()
		switch {
		case !same:
			return nil, false, ErrSequenceReused
		case decided:
			return have, false, nil
		}
		<-done // Then it is decided, or given up and free again.
	}
}

// insert keeps the order. p.mu is held.
func (p *producerClaims) insert(seq uint64, c *claim) {
	p.bySeq[seq] = c
	at, _ := slices.BinarySearch(p.order, seq)
	p.order = slices.Insert(p.order, at, seq)
}

// decide notes the answer, inside the gate; it is good when the group is durable.
func (p *producerClaims) decide(c *claim, g *group, atMs int64, answer []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.group, c.atMs, c.decided = g, atMs, true
	if len(answer) <= answerBytesInline {
		c.answer = append([]byte(nil), answer...)
	} else {
		c.answer, c.inLedger = append([]byte(nil), answer...), true
	}
	close(c.done)
	c.done = nil // It would be 112 of the 251 bytes that a remembered claim takes.
	p.trim(atMs)
}

// giveUp frees a sequence whose request was refused whole. One that was decided stays: nobody knows whether it will be durable.
func (p *producerClaims) giveUp(seq uint64, c *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.decided {
		return
	}
	delete(p.bySeq, seq)
	if at, found := slices.BinarySearch(p.order, seq); found {
		p.order = slices.Delete(p.order, at, at+1)
	}
	p.inFlight--
	close(c.done)
}

// trim forgets the lowest sequences beyond what is kept, and those that are too old. p.mu is held.
func (p *producerClaims) trim(nowMs int64) {
	drop := 0
	for ; drop < len(p.order); drop++ {
		c := p.bySeq[p.order[drop]]
		if !c.decided || (len(p.order)-drop <= claimsKept && nowMs-c.atMs < claimsKeptFor.Milliseconds()) {
			break
		}
		delete(p.bySeq, p.order[drop])
		p.floor = p.order[drop] + 1
	}
	p.order = slices.Delete(p.order, 0, drop)
}

// durable forgets the group of a claim that is durable now. It comes before the first answer, whoever gets that: a gateway that was answered
// may have another request in flight.
func (p *producerClaims) durable(c *claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.group != nil {
		c.group = nil
		p.inFlight--
	}
}

// state returns what is needed to answer a claim that was decided.
func (p *producerClaims) state(c *claim) (g *group, answer []byte, atMs int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return c.group, c.answer, c.atMs
}

// submitClaimed is Submit for a request with a sequence.
func (e *Engine) submitClaimed(r *Request) error {
	// The name may be new: then it gets its ordinal in the group that the request enters, and its claims wait under its name.
	p, err := e.claimsOf(r)
	if err != nil {
		return err
	}
	c, mine, err := p.begin(*r.Claim, e.clock.view())
	if err != nil {
		return err
	}
	if !mine {
		return e.replay(r, p, c)
	}
	r.claim, r.claims = c, p
	defer func() { r.claim, r.claims = nil, nil }()
	if err := e.submit(r); err != nil {
		p.giveUp(r.Claim.Sequence, c)
		return err
	}
	p.durable(c)
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

// replay answers a request whose sequence was decided before, when that is durable.
func (e *Engine) replay(r *Request, p *producerClaims, c *claim) error {
	g, answer, atMs := p.state(c)
	if g != nil {
		if err := e.await(g); err != nil {
			return err
		}
		p.durable(c)
	}
	if answer == nil {
		var err error
		if answer, err = e.storedAnswer(r); err != nil {
			return err
		}
	}
	if len(answer) == 0 || answer[0] > formSingle {
		return errors.New("a remembered answer is damaged")
	}
	r.Replayed, r.DecidedMs, r.Single = true, atMs, answer[0] == formSingle
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
	t.l.records.Claim(record.Claim{Producer: t.holder, Sequence: r.Claim.Sequence, Hash: r.Claim.Hash, AtMs: t.nowMs, Answer: r.answer})
	r.claims.decide(r.claim, t.e.gate.open, t.nowMs, r.answer)
	if r.claim.inLedger {
		t.l.answers = append(t.l.answers, answerRow{claim: r.claim, claims: r.claims, key: answerKey(t.holder, r.Claim.Sequence), value: r.claim.answer})
	}
}

// answerRow is an answer on its way to the ledger.
type answerRow struct {
	claim  *claim
	claims *producerClaims
	key    []byte
	value  []byte
}

// stored forgets the bytes of an answer that the ledger has.
func (r *answerRow) stored() {
	r.claims.mu.Lock()
	defer r.claims.mu.Unlock()
	r.claim.answer = nil
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
	for _, seq := range p.order {
		if p.bySeq[seq].decided {
			if !s.Any {
				s.Oldest = seq
			}
			s.Any, s.Last = true, seq
		}
	}
	p.mu.Unlock()
	return s, true, e.settle()
}
