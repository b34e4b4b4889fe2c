package shard

import (
	"errors"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// View is one look at the state, inside the gate. It is for reading alone, and nothing of it may be kept but values
// that were copied out.
type View struct {
	Catalogue *license.Catalogue
	NowMs     int64 // Unix milliseconds, never before a decision that is seen
	Table     *counters.Table
	Producers *claims.Producers
}

// View runs fn inside the gate, where the catalogue and the device table stand still against swaps and growth, and
// returns when everything that fn may have seen is durable: nothing leaves before that. fn must be short: a seal waits
// for it.
func (e *Engine) View(fn func(*View)) error {
	e.gate.mu.RLock()
	if e.closed.Load() {
		e.gate.mu.RUnlock()
		return ErrStopped
	}
	fn(&View{Catalogue: e.catalogue.Load(), NowMs: e.clock.view(), Table: e.table, Producers: e.producers})
	g := e.gate.newest()
	e.gate.mu.RUnlock()
	return e.awaitNewest(g)
}

// Durable returns when everything that was decided before the call is durable: what was read from the catalogue before
// may leave then.
func (e *Engine) Durable() error { return e.View(func(*View) {}) }

// DurableInLedger returns when the ledger, too, has everything that was decided before the call; ErrLedgerLags says
// that it does not get there.
func (e *Engine) DurableInLedger() error {
	if err := e.Durable(); err != nil {
		return err
	}
	switch err := e.views.WaitFor(e.o.Ledger, e.durableSeq.Load()); {
	case errors.Is(err, views.ErrLags):
		return ErrLedgerLags
	case err != nil:
		return ErrStopped
	}
	return nil
}

// ledgerErr turns an error of reading the ledger into ErrLedgerLags: it concerns the request alone. The view's own
// goroutine and metric say what is wrong with the ledger.
func (e *Engine) ledgerErr(err error) error {
	if err == nil {
		return nil
	}
	e.logger.Error("the ledger cannot be read", "error", err)
	return ErrLedgerLags
}

// newest returns the last group that anything decided so far can be in; nil if there was none. gate.mu is held for
// reading, and what is to be covered was read before the call.
func (g *gate) newest() *group {
	if g.open.entered.Load() {
		return g.open
	}
	return g.sealed
}

// awaitNewest returns when g and all groups before it are durable.
func (e *Engine) awaitNewest(g *group) error {
	if g == nil {
		if e.Err() != nil {
			return ErrStopped
		}
		return nil
	}
	return e.await(g)
}

// Activations calls fn with how many devices of a product connected for the first time, by quarters of an hour from
// quarter from on. The ledger has the quarters that memory has let go of; for those that both have the larger number
// holds.
func (e *Engine) Activations(product, from uint32, fn func(quarter uint32, activations uint64)) {
	e.totals.Lock()
	defer e.totals.Unlock()
	e.totals.Each(func(q record.Quarter, t *record.Totals) {
		if q.Product == product && q.Number >= from {
			fn(q.Number, t.Activations)
		}
	})
}
