package cells

import (
	"math"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/claims"
)

// The calls between nodes, by their names in the path. FORMAT.md draws what they carry.
const (
	callDecide   = "decide"
	callRemember = "remember"
	callNames    = "names"
	callProducer = "producer"
	callCommands = "commands"
)

// who is for whom a node asks.
type who struct {
	token    string
	hash     [32]byte // of the token's secret
	producer []byte   // empty without
}

func (w *writer) who(v *who) {
	w.byte(version)
	w.text(v.token)
	w.fixed(v.hash[:])
	w.bytes(v.producer)
}

func (r *reader) who() (v who) {
	v.token = r.text(event.NameBytesMax)
	r.fixed(v.hash[:])
	v.producer = r.bytes(event.NameBytesMax)
	if len(v.producer) > 0 && !event.ValidName(v.producer) {
		r.bad()
	}
	return v
}

// part is a batch, or some of its events, as a cell is asked to decide it.
type part struct {
	isSingle, isCheck, hasClaim bool
	claim                       claims.Claim // if hasClaim is true
	batch                       []byte       // encoded
}

// What a part is.
const (
	partSingle = 1 << iota
	partCheck
	partClaim
	partUnknown // a later version's
)

func (w *writer) part(p *part) {
	w.byte(bits(p.isSingle, p.isCheck, p.hasClaim))
	if p.hasClaim {
		w.claim(&p.claim)
	}
	w.bytes(p.batch)
}

func (r *reader) part() (p part) {
	is := r.byte()
	if is >= partUnknown {
		r.bad()
	}
	p.isSingle, p.isCheck, p.hasClaim = is&partSingle != 0, is&partCheck != 0, is&partClaim != 0
	if p.hasClaim {
		p.claim = r.claim()
	}
	p.batch = r.bytes(callBytesMax)
	return p
}

func (w *writer) claim(c *claims.Claim) {
	w.uint(c.Sequence)
	w.fixed(c.Hash[:])
}

func (r *reader) claim() (c claims.Claim) {
	c.Sequence = r.uint()
	r.fixed(c.Hash[:])
	return c
}

// outcome is what became of a part: an answer, or why it was refused.
type outcome struct {
	problem              *event.Problem
	isReplayed, isSingle bool
	decidedMs            int64
	result               event.Result
}

// What an outcome is.
const (
	outcomeAnswer = iota
	outcomeReplayed
	outcomeProblem
)

func (w *writer) problem(p *event.Problem) {
	w.byte(byte(p.Code))
	w.text(p.Field)
	w.text(p.Detail)
}

func (r *reader) problem() *event.Problem {
	return &event.Problem{Code: event.Code(r.byte()), Field: r.text(math.MaxInt32), Detail: r.text(math.MaxInt32)}
}

func (w *writer) outcome(o *outcome) {
	switch {
	case o.problem != nil:
		w.byte(outcomeProblem)
		w.problem(o.problem)
		return
	case o.isReplayed:
		w.byte(outcomeReplayed)
	default:
		w.byte(outcomeAnswer)
	}
	w.bool(o.isSingle)
	w.int(o.decidedMs)
	w.bytes(o.result.Append(nil))
}

func (r *reader) outcome(o *outcome) {
	switch kind := r.byte(); kind {
	case outcomeProblem:
		o.problem = r.problem()
	case outcomeAnswer, outcomeReplayed:
		o.isReplayed, o.isSingle, o.decidedMs = kind == outcomeReplayed, r.bool(), r.int()
		if o.result.Decode(r.bytes(math.MaxInt32)) != nil {
			r.bad()
		}
	default:
		r.bad()
	}
}

// refusal is the head of the other answers: a problem, or nil.
func (w *writer) refusal(p *event.Problem) {
	w.byte(version)
	w.bool(p != nil)
	if p != nil {
		w.problem(p)
	}
}

// refusal returns the problem that an answer is, nil if it is none.
func refusal(answer []byte) (*reader, *event.Problem, error) {
	r := begin(answer)
	if !r.bool() || r.isBad {
		return r, nil, nil
	}
	p := r.problem()
	return r, p, r.end()
}
