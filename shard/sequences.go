package shard

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/shard/claims"
)

// decideClaimed is Decide for a request with a sequence.
func (e *Engine) decideClaimed(r *Request) error {
	p, err := e.producerOf(r)
	if err != nil {
		return err
	}
	mine, err := r.claim.Begin(p, *r.Claim, e.clock.view())
	if err != nil {
		return err
	}
	if !mine {
		if g := r.claim.Group(); g != nil {
			r.group = g.(*group)
		}
		return nil
	}
	if err := e.decideFresh(r); err != nil {
		r.claim.GiveUp()
		return err
	}
	return nil
}

// producerOf returns the request's producer, giving its name an ordinal first if it has none: what is remembered of its
// sequences must be there before the request enters the gate.
func (e *Engine) producerOf(r *Request) (*claims.Producer, error) {
	if p := e.producers.Find(r.Account, r.Producer); p != nil {
		return p, nil
	}
	l, err := e.enter(rowBytes, 0)
	if err != nil {
		return nil, err
	}
	p, err := e.producers.Bind(l.records, r.Account, r.Producer)
	if err == nil {
		nowMs, ok := e.clock.now()
		if !ok {
			nowMs = e.clock.last.Load()
		}
		l.begin(nowMs, p.Ordinal)
	}
	l.end(!l.records.Empty())
	e.gate.leave(l)
	return p, err
}

// claim writes the claim of a decided request into its group.
func (t *turn) claim() {
	e, r := t.e, t.r
	long := r.claim.Decide(t.l.records, claims.Decision{
		Group: e.gate.open, GroupSeq: e.sealedSeq.Load() + 1, AtMs: t.nowMs, Single: r.Single, Result: &r.Result,
	})
	if long != nil {
		t.l.answers = append(t.l.answers, answerRow{key: r.claim.Key(), value: long})
	}
}

// overloaded makes an error about memory or the ledger one that the next request may not have.
func overloaded(err error) error {
	if errors.Is(err, claims.ErrNoRoom) || errors.Is(err, claims.ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrOverloaded, err)
	}
	return err
}

// settleClaim completes a request with a sequence when its group is durable.
func (e *Engine) settleClaim(r *Request) (err error) {
	r.claim.Settle()
	replayed, inLedger := r.claim.Replayed()
	if !replayed {
		return nil
	}
	if inLedger {
		// Nobody else needs this answer: a ledger that cannot be read stops this request alone.
		answer, _, err := e.o.Ledger.Get(r.claim.Key())
		if err != nil {
			return fmt.Errorf("%w: read an answer: %w", ErrOverloaded, err)
		}
		if err := r.claim.Found(answer, e.clock.view()); err != nil {
			return overloaded(err)
		}
	}
	r.Replayed = true
	r.DecidedMs, r.Single, err = r.claim.Answer(&r.Result)
	return err
}

// answerRow is an answer on its way to the ledger.
type answerRow struct{ key, value []byte }

// Sequences returns what is remembered of a producer; ok is false if there is none of this name.
func (e *Engine) Sequences(account uint32, producer string) (s claims.Sequences, ok bool, err error) {
	p := e.producers.Find(account, []byte(producer))
	if p != nil {
		s = p.Sequences()
	}
	return s, p != nil, e.settle()
}
