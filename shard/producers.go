package shard

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
)

// Offline takes every device that the producer holds offline and returns how many there were (R3). A gateway calls it
// when it starts: what it held before, it holds no longer. It ends with ErrTokenRevoked when the token is deleted
// meanwhile; what it took offline by then stays so.
func (e *Engine) Offline(token *access.Token, producer string) (int, error) {
	if err := e.refuse(); err != nil {
		return 0, err
	}
	p := e.producers.Find(token.AccountID, []byte(producer))
	if p == nil {
		return 0, e.Durable()
	}
	devices := 0
	var last *group
	for s := range shards {
		g, err := e.withTurn(room{bytes: rowBytes}, func(t *turn) error {
			if !t.cat.Honors(token, t.nowMs) {
				return ErrTokenRevoked
			}
			t.begin(p.Ordinal)
			devices += t.offlineShard(s)
			return nil
		})
		if err != nil {
			return 0, e.proved(err)
		}
		if g != nil {
			last = g
		}
	}
	if last == nil {
		return 0, e.Durable()
	}
	return devices, e.await(last)
}

// offlineShard does one shard of Offline; a shard of ten million devices in all takes about a millisecond.
func (t *turn) offlineShard(shard int) (n int) {
	for slot := range t.e.table.Slots(shard) {
		if w := slot.Session(); !w.Online() || w.Holder() != t.holder {
			continue
		}
		t.slot, t.product = slot, t.cat.ProductByID(slot.Product())
		if out := slot.SetOffline(t.holder, false); out.WentOffline() {
			t.session(out)
			n++
		}
	}
	return n
}

// A device's session word has the ordinal of the producer that holds it. When the producer is forgotten, the ordinal
// stays there, and the device counts as held by no producer.

// ForgetProducer forgets a producer of the token's account at once, with its sequences, and with its notes if the token
// is bound to none. found is false if there is none of this name.
func (e *Engine) ForgetProducer(token *access.Token, producer string) (found bool, err error) {
	forget := func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		l := e.gate.all[0] // No request has it now.
		l.begin(by.AtMs, 0)
		found = e.producers.Forget(l.records, token.AccountID, []byte(producer))
		if token.AccountID == 0 && e.producers.Forget(l.records, claims.NotesAccount, []byte(producer)) {
			found = true
		}
		l.end(found || !l.records.Empty())
		if !found {
			return nil, nil, nil
		}
		next, ch := c.Note(by, "producer.forget", producer, nil)
		return next, ch, nil
	}
	err = e.Administer(token.Name, token, forget)
	return found && err == nil, err
}

// disown takes the holder from the device in hand if it is forgotten.
func (t *turn) disown() {
	holder := t.slot.Session().Holder()
	if holder == 0 || holder == t.holder || t.e.producers.ByOrdinal(holder) != nil {
		return
	}
	var out counters.SessionOutcome
	m, kept := t.commands.Disown(t.slot.Ordinal(), func() (from, to uint64) {
		out = t.slot.ClearHolder(holder) // Unless another producer has connected it.
		return out.Before.Change(), out.After.Change()
	})
	t.session(out)
	if kept {
		t.l.records.Command(m) // It has not obeyed yet.
	}
}

// sweepHoldersIfDue begins a sweep of the holders, unless one runs. It is called inside the gate.
func (e *Engine) sweepHoldersIfDue(nowMs int64) {
	if !e.producers.SweepDue(nowMs) || !e.sweeping.CompareAndSwap(false, true) {
		return
	}
	e.wg.Go(func() {
		defer e.sweeping.Store(false)
		if err := e.sweepHolders(); err != nil && !errors.Is(err, ErrStopped) {
			e.logger.Warn("ordinals of forgotten producers could not be made free", "error", err)
		}
	})
}

// sweepHolders takes the ordinals of all forgotten producers out of the devices' words, so that they can be given anew.
// It is the sweep that claims/sweep.go begins and ends. It takes no device offline: the sweep of sweep.go does that.
func (e *Engine) sweepHolders() error {
	idle := e.producers.Idle(e.clock.view())
	var forgotten []uint32
	err := e.sweepTurn(func(t *turn) { forgotten = e.producers.SweepBegin(t.l.records, idle, t.nowMs) })
	if err != nil || len(forgotten) == 0 {
		return err
	}
	// A request inside may have found one of them when it was a producer's, and connect a device under it.
	if err := e.cut(0, nil); err != nil {
		return err
	}
	for shard := range shards {
		for rows := sweepRowsATurn; rows == sweepRowsATurn; {
			if err := e.sweepTurn(func(t *turn) { rows = t.disownShard(shard) }); err != nil {
				return err
			}
		}
	}
	e.producers.SweepEnd(forgotten)
	return nil
}

// sweepTurn has fn do a part of a sweep inside the gate.
func (e *Engine) sweepTurn(fn func(*turn)) error {
	if err := e.refuse(); err != nil {
		return err
	}
	_, err := e.withTurn(room{bytes: rowBytes * sweepRowsATurn, atLeap: true}, func(t *turn) error {
		t.begin(0)
		fn(t)
		return nil
	})
	return err
}

// disownShard disowns devices of one shard of the table, at most sweepRowsATurn, and returns how many.
func (t *turn) disownShard(shard int) (rows int) {
	for slot := range t.e.table.Slots(shard) {
		if rows == sweepRowsATurn {
			break
		}
		before := slot.Session()
		t.slot, t.product = slot, t.cat.ProductByID(slot.Product())
		if t.disown(); slot.Session() != before {
			rows++
		}
	}
	return rows
}

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
	if r.Replayed, err = e.settleTicket(&r.claim); err != nil || !r.Replayed {
		return err
	}
	r.DecidedMs, r.Single, err = r.claim.Answer(&r.Result)
	return err
}

// settleTicket completes a sequence whose group is durable. If it was decided before, the ticket has the answer then.
func (e *Engine) settleTicket(t *claims.Ticket) (replayed bool, err error) {
	t.Settle()
	replayed, inLedger := t.Replayed()
	if !inLedger {
		return replayed, nil
	}
	// Nobody else needs this answer: a ledger that cannot be read stops this request alone.
	if err := e.ledgerReaches(); err != nil {
		return false, err
	}
	answer, err := e.o.Ledger.Answer(t.Place())
	if err != nil {
		return false, e.ledgerErr(fmt.Errorf("read an answer: %w", err))
	}
	return true, t.Found(answer, e.clock.view())
}

// Sequences returns what is remembered of a producer; ok is false if there is none of this name.
func (e *Engine) Sequences(account uint32, producer string) (s claims.Sequences, ok bool, err error) {
	p := e.producers.Find(account, []byte(producer))
	if p != nil {
		s = p.Sequences()
	}
	return s, p != nil, e.Durable()
}
