package shard

import (
	"fmt"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention"
	"github.com/meterd/meterd/shard/commands"
)

// Administer makes one administrative change: fn builds the next catalogue from the one that holds, which is then
// synced with its audit record in one transaction and swapped in between two groups. It returns when the first event
// decided after it sees the change. An error of fn, or a nil catalogue from it, changes nothing. Changes are made one
// at a time.
func (e *Engine) Administer(
	token string,
	fn func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error),
) error {
	e.adminMu.Lock()
	defer e.adminMu.Unlock()
	if e.Err() != nil {
		return ErrStopped
	}
	next, ch, err := fn(e.catalogue.Load(), license.Actor{Token: token, AtMs: e.clock.view()})
	if err != nil || next == nil {
		return err
	}
	entries := make([]retention.Entry, len(ch.Puts))
	for i, p := range ch.Puts {
		entries[i] = retention.Entry{Key: p.Key, Value: p.Value}
	}
	if err := e.o.Ledger.Write(entries); err != nil {
		e.fail(fmt.Errorf("write control record %d: %w", next.Seq, err))
		return ErrStopped
	}
	before := e.catalogue.Load()
	err = e.cut(0, func() {
		e.catalogue.Store(next)
		if ch.Apply != nil {
			ch.Apply()
		}
		e.beginRun(ch)
		if ch.Device != nil {
			e.suspendDevice(next, ch.Device)
		}
	})
	if err != nil {
		return err
	}
	e.tellGateways(before, next, ch)
	return nil
}

// beginRun records that the daemon was started if a change is the first thing that gateways are told of. It runs
// between two groups.
func (e *Engine) beginRun(ch *license.Change) {
	if !isRefresh(ch.Audit.Action) {
		return
	}
	nowMs, ok := e.clock.now()
	if !ok {
		nowMs = e.clock.last.Load()
	}
	l := e.gate.all[0]
	e.gate.open.entered.Store(true)
	l.begin(nowMs, 0)
	l.beginRun(e.commands)
	l.end(!l.records.Empty())
}

// tellGateways does what follows from a change that is swapped in.
func (e *Engine) tellGateways(before, next *license.Catalogue, ch *license.Change) {
	p := next.Product([]byte(ch.Audit.Target))
	if p == nil || !isRefresh(ch.Audit.Action) {
		e.commands.Changed(commands.Refresh{Seq: next.Seq}) // A stream whose token was revoked must notice.
		return
	}
	e.commands.Changed(commands.Refresh{Seq: next.Seq, Product: p.ID, Account: p.AccountID})
	if old := before.ProductByID(p.ID); old != nil && old.ValidityVersion() != p.ValidityVersion() {
		e.expiry.searchNow() // Ends have moved, perhaps into the past.
	}
}

// Audit calls fn for audit entries, newest first, beginning before control sequence before (0: with the newest), until
// fn returns false.
func (e *Engine) Audit(before uint64, fn func(license.AuditEntry) bool) error {
	var start []byte
	if before > 0 {
		start = license.AuditKey(before - 1)
	}
	return e.o.Ledger.Scan([]byte(license.KeyAudit), start, true, func(k, v []byte) (bool, error) {
		entry, err := license.DecodeAudit(k, v)
		if err != nil {
			return false, err
		}
		return fn(entry), nil
	})
}
