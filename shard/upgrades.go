package shard

import (
	"fmt"

	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/recovery"
)

// letGo lets memory go of what the ledger has durably. The gate is closed.
func (e *Engine) letGo() {
	passed := e.o.Ledger.Position().Seq
	e.state.LedgerFloor.Store(max(passed, e.state.LedgerFloor.Load()))
	e.upgrades.LetGo(passed)
}

// ledgerReaches refuses what must be looked up while the ledger lacks groups that memory has let go of: it was restored
// from an older backup, or is being built again.
func (e *Engine) ledgerReaches() error {
	if e.o.Ledger.Position().Seq < e.state.LedgerFloor.Load() {
		return ErrLedgerLags
	}
	return nil
}

// resolveUpgrades reads from the ledger what it knows about the ids of a batch, outside the gate.
func (e *Engine) resolveUpgrades(r *Request) error {
	clear(r.upgrades)
	e.gate.mu.RLock()
	r.upgradeEpoch = e.upgrades.Epoch
	e.gate.mu.RUnlock()
	if err := e.ledgerReaches(); err != nil {
		return err
	}
	ids := 0
	for i := range r.Batch.Events {
		ev := &r.Batch.Events[i]
		if ev.ID.Len == 0 || r.products[i] == nil {
			continue
		}
		ids++
		if r.upgrades == nil {
			r.upgrades = map[int]*record.Upgrade{}
		}
		up, err := e.o.Ledger.Upgrade(r.products[i].ID, r.Batch.Bytes(ev.Device), r.Batch.Bytes(ev.ID))
		if err != nil {
			return e.ledgerErr(fmt.Errorf("look up an OTA: %w", err))
		}
		if up != nil {
			r.upgrades[i] = up
		}
	}
	if e.upgrades.Full(ids) {
		return ErrLedgerLags
	}
	return nil
}

// upgrade returns what is known about the id of the event in hand, nil if nothing. The account is locked.
func (t *turn) upgrade() *record.Upgrade {
	key := recovery.AppendUpgradeKey(nil, t.product.ID, t.r.Batch.Bytes(t.ev.Device), t.r.Batch.Bytes(t.ev.ID))
	if up := t.e.upgrades.Find(key); up != nil {
		return up
	}
	return t.r.upgrades[t.index]
}

// keepUpgrade remembers an upgrade by its id.
func (t *turn) keepUpgrade(up *record.Upgrade) {
	up.Ordinal = uint64(t.slot.Ordinal())
	key := recovery.AppendUpgradeKey(nil, t.product.ID, t.r.Batch.Bytes(t.ev.Device), up.ID)
	t.e.upgrades.Put(key, up, t.e.sealedSeq.Load()+1)
	t.l.records.Upgrade(*up)
}
