package shard

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/shard/claims"
)

// decideClaimed is Decide for a request with a sequence.
func (e *Engine) decideClaimed(r *Request) (err error) {
	for range forgottenTriesMax {
		if err = e.tryClaimed(r); !errors.Is(err, claims.ErrForgotten) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", ErrOverloaded, err)
}

func (e *Engine) tryClaimed(r *Request) error {
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

// producerOf returns the request's producer, giving its name an ordinal first if it has none, for what is remembered of
// its sequences must be there before the request enters the gate; from time to time it is noted that it is alive.
func (e *Engine) producerOf(r *Request) (*claims.Producer, error) {
	p, nowMs := e.producers.Find(r.Account, r.Producer), e.clock.view()
	switch {
	case p == nil:
		if err := e.producers.Admit(nowMs); err != nil {
			return nil, err
		}
	case p.IsNoted(nowMs):
		return p, nil
	}
	_, err := e.withTurn(room{bytes: rowBytes, atLeap: true}, func(t *turn) (err error) {
		if p, err = e.producers.Bind(t.l.records, r.Account, r.Producer, t.nowMs); err == nil {
			t.begin(p.Ordinal)
		}
		e.sweepHoldersIfDue(t.nowMs)
		return err
	})
	return p, err
}

// enterProducer returns the ordinal under which the devices of the request are held, 0 if it names no producer. After
// an error nothing was recorded.
func (t *turn) enterProducer() (holder uint32, err error) {
	r := t.r
	if r.claim.Mine() {
		return r.claim.Enter(r.Batch.Events)
	}
	if len(r.Producer) == 0 {
		return 0, nil
	}
	p, err := t.e.producers.Bind(t.l.records, r.Account, r.Producer, t.nowMs)
	t.e.sweepHoldersIfDue(t.nowMs)
	if err != nil {
		return 0, err
	}
	return p.Ordinal, nil
}

// claim writes the claim of a decided request into its group.
func (t *turn) claim() {
	e, r := t.e, t.r
	r.claim.Decide(t.l.records, claims.Decision{
		Group: e.gate.open, GroupSeq: e.sealedSeq.Load() + 1, AtMs: t.nowMs, Single: r.Single, Result: &r.Result,
	})
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
		if err := e.ledgerReaches(); err != nil {
			return err
		}
		answer, err := e.o.Ledger.Answer(r.claim.Place())
		if err != nil {
			return e.ledgerErr(fmt.Errorf("read an answer: %w", err))
		}
		if err := r.claim.Found(answer, e.clock.view()); err != nil {
			return err
		}
	}
	r.Replayed = true
	r.DecidedMs, r.Single, err = r.claim.Answer(&r.Result)
	return err
}

// Sequences returns what is remembered of a producer; ok is false if there is none of this name.
func (e *Engine) Sequences(account uint32, producer string) (s claims.Sequences, ok bool, err error) {
	p := e.producers.Find(account, []byte(producer))
	if p != nil {
		s = p.Sequences()
	}
	return s, p != nil, e.Durable()
}
