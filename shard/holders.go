package shard

import (
	"errors"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
)

// A device's session word has the ordinal of the producer that holds it. When the producer is forgotten, the ordinal
// stays there, and the device counts as held by nobody.

// ForgetProducer forgets a producer at once, with its sequences; token is the one that asks for it. found
// is false if there is none of this name.
func (e *Engine) ForgetProducer(token *access.Token, account uint32, producer string) (found bool, err error) {
	if err := e.refuse(); err != nil {
		return false, err
	}
	if e.producers.Find(account, []byte(producer)) == nil {
		return false, e.Durable()
	}
	g, err := e.withTurn(room{bytes: rowBytes, atLeap: true}, func(t *turn) error {
		t.begin(0)
		found = e.producers.Forget(t.l.records, account, []byte(producer))
		return nil
	})
	if err == nil {
		err = e.awaitNewest(g)
	}
	if err != nil || !found {
		return false, err
	}
	note := func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch := c.Note(by, "producer.forget", producer, nil)
		return next, ch, nil
	}
	return true, e.Administer(token.Name, token, note)
}

// disown makes nobody hold the device in hand if its holder is forgotten.
func (t *turn) disown() {
	holder := t.slot.Session().Holder()
	if holder == 0 || holder == t.holder || t.e.producers.ByOrdinal(holder) != nil {
		return
	}
	var out counters.SessionOutcome
	m, kept := t.e.commands.Disown(t.slot.Ordinal(), func() (from, to uint64) {
		out = t.slot.ClearHolder(holder) // Unless somebody else has connected it.
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
func (e *Engine) sweepHolders() error {
	idle := e.producers.Idle(e.clock.view())
	var forgotten []uint32
	err := e.sweepTurn(func(t *turn) { forgotten = e.producers.SweepBegin(t.l.records, idle, t.nowMs) })
	if err != nil || len(forgotten) == 0 {
		return err
	}
	// Who is inside may have found one of them when it was a producer's, and connect a device under it.
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
