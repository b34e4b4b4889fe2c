package claims

import (
	"errors"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// Ticket is the part of one request in a sequence: Begin, then, if the sequence is its to decide, Enter and Decide,
// or GiveUp, then Settle when its group is durable. The zero Ticket has no sequence. It is reused, with its memory, and
// is not safe for concurrent use.
type Ticket struct {
	p        *Producer
	claim    Claim
	mine     bool
	reserved int64 // bytes for a long answer
	before   found
	answer   []byte
}

// The forms of an answer. They are remembered, for the same body could be asked for in another one the next time.
const (
	formBatch  = 0
	formSingle = 1
	formNote   = 2 // no answer: what Note was given
)

// Reset makes t one without a sequence.
func (t *Ticket) Reset() {
	answer := t.answer[:0]
	if cap(answer) > scratchBytesKept {
		answer = nil
	}
	*t = Ticket{answer: answer}
}

// Begin claims a sequence of p at nowMs, Unix milliseconds. mine says that the request is to be decided; otherwise it
// was decided before. It waits for a request with the same sequence that is being decided. After an error t has no
// sequence.
func (t *Ticket) Begin(p *Producer, c Claim, nowMs int64) (mine bool, err error) {
	t.Reset()
	p.see(nowMs)
	t.before, t.mine, err = p.begin(c, nowMs, t.answer)
	if errors.Is(err, errNoMemory) && p.all.reclaim(nowMs) {
		t.before, t.mine, err = p.begin(c, nowMs, t.answer)
	}
	switch {
	case errors.Is(err, errNoMemory):
		return false, p.noMemory(nowMs)
	case err != nil:
		return false, err
	}
	t.p, t.claim = p, c
	if !t.mine {
		t.answer = t.before.answer // Its memory is used again.
	}
	return t.mine, nil
}

// Mine reports whether the request has a sequence that is its to decide.
func (t *Ticket) Mine() bool { return t.mine }

// Enter makes sure that what becomes of the events can be remembered, and returns the producer's ordinal. After
// ErrForgotten or ErrNoRoom nothing may be decided. It is called inside the gate, where Decide follows, so that no more
// is reserved than lanes decide.
func (t *Ticket) Enter(events []event.Event) (holder uint32, err error) {
	if t.p.forgotten.Load() {
		return 0, ErrForgotten
	}
	return t.p.Ordinal, t.reserve(answerBytesMax(events))
}

// reserve makes sure that an answer of n bytes can be remembered.
func (t *Ticket) reserve(n int) (err error) {
	if n <= AnswerBytesKept || t.reserved != 0 {
		return nil
	}
	var ok bool
	if t.reserved, ok = t.p.all.long.reserve(n); !ok {
		return ErrNoRoom
	}
	return nil
}

// answerBytesMax returns how long the answer can be. A single event of a kind that OTA has no part in is short enough
// for its sequence's own memory: it is never refused for others' long answers.
func answerBytesMax(events []event.Event) int {
	if len(events) == 1 {
		switch events[0].Type {
		case event.OTA, event.OTAVoid:
		default:
			return AnswerBytesKept
		}
	}
	return 1 + event.CompactBytesMax(len(events))
}

// GiveUp frees the sequence of a request that was refused whole: the next one with it decides.
func (t *Ticket) GiveUp() {
	t.p.giveUp(t.claim.Sequence)
	t.p.all.long.bytes.Add(-t.reserved)
	t.Reset()
}

// Decision is what a request with a sequence came to.
type Decision struct {
	Group    Group  // the open group
	GroupSeq uint64 // its number
	AtMs     int64  // Unix milliseconds
	Single   bool   // one single event, not a batch
	Result   *event.Result
}

// Decide records the decision in b and remembers it, inside the gate: claim and effect are one write.
func (t *Ticket) Decide(b *record.Builder, d Decision) {
	form := byte(formBatch)
	if d.Single {
		form = formSingle
	}
	t.answer = d.Result.Append(append(t.answer[:0], form))
	t.remember(b, d)
}

// remember records t.answer in b and remembers it.
func (t *Ticket) remember(b *record.Builder, d Decision) {
	b.Claim(record.Claim{
		Producer: t.p.Ordinal, Sequence: t.claim.Sequence, Hash: t.claim.Hash, AtMs: d.AtMs, Answer: t.answer,
	})
	t.p.see(d.AtMs)
	t.p.notedMs.Store(d.AtMs)
	t.p.decide(t.claim.Sequence, d.Group, d.GroupSeq, d.AtMs, t.answer)
	t.p.all.long.bytes.Add(-t.reserved)
	t.reserved = 0
}

// Place names the answer, if it is long, to the ledger.
func (t *Ticket) Place() (producer uint32, sequence uint64) { return t.p.Ordinal, t.claim.Sequence }

// Group returns what a sequence that was decided before waits for, nil if it is durable.
func (t *Ticket) Group() Group { return t.before.group }

// Settle says that the sequence is durable.
func (t *Ticket) Settle() {
	if t.p != nil {
		t.p.settle(t.claim.Sequence)
	}
}

// Replayed reports whether the request was decided before. If only the ledger has its answer, inLedger is true.
func (t *Ticket) Replayed() (replayed, inLedger bool) {
	replayed = t.p != nil && !t.mine
	return replayed, replayed && len(t.answer) == 0
}

// Found gives t the answer that the ledger has at nowMs, a copy, empty if it has none. After ErrTooOld the ledger has
// dropped it with its sequence, after ErrUnavailable it is behind what it said.
func (t *Ticket) Found(answer []byte, nowMs int64) error {
	switch {
	case len(answer) > 0:
		t.answer = append(t.answer[:0], answer...)
		return nil
	case nowMs-t.before.atMs >= KeptFor.Milliseconds():
		return ErrTooOld
	}
	return ErrUnavailable
}

var errAnswer = errors.New("a remembered answer is damaged")

// Answer decodes into r what was answered before, and says when that was, Unix milliseconds, and in which form.
func (t *Ticket) Answer(r *event.Result) (atMs int64, single bool, err error) {
	if len(t.answer) == 0 || t.answer[0] > formSingle {
		return 0, false, errAnswer
	}
	return t.before.atMs, t.answer[0] == formSingle, r.Decode(t.answer[1:])
}
