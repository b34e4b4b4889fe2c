package shard

import (
	"errors"
	"fmt"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention"
	"github.com/meterd/meterd/shard/commands"
)

// Administer makes one administrative change between two groups, with nobody deciding: fn builds the next catalogue
// from the one that holds, which is synced with its audit entry in one transaction and swapped in. It returns when the
// first event decided after it sees the change. An error of fn, or a nil catalogue from it, changes nothing. Changes are
// made one at a time.
func (e *Engine) Administer(
	token string,
	fn func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error),
) error {
	e.adminMu.Lock()
	defer e.adminMu.Unlock()
	if e.Err() != nil {
		return ErrStopped
	}
	var before, next *license.Catalogue
	var ch *license.Change
	var err error
	cut := e.cut(0, func() {
		before = e.catalogue.Load()
		next, ch, err = fn(before, license.Actor{Token: token, AtMs: e.clock.view()})
		if err != nil || next == nil {
			return
		}
		if failed := e.o.Ledger.Write(ControlEntries(next, ch)); failed != nil {
			e.fail(fmt.Errorf("write control record %d: %w", next.Seq, failed))
			err = ErrStopped
			return
		}
		e.catalogue.Store(next)
		e.beginRun(ch)
		if ch.Device != nil {
			e.suspendDevice(next, ch.Device)
		}
	})
	if cut != nil {
		return cut
	}
	if err == nil && next != nil {
		e.tellGateways(before, next, ch)
	}
	return err
}

// errHead ends a walk over records behind the first.
var errHead = errors.New("the head was read")

// ControlEntries returns what the ledger keeps of a change that led to next.
func ControlEntries(next *license.Catalogue, ch *license.Change) []retention.Entry {
	var entries []retention.Entry
	_ = next.Records(func(key, value []byte) error { // The head comes first.
		entries = append(entries, retention.Entry{Key: key, Value: value})
		return errHead
	})
	for _, p := range append(ch.Puts, ch.Audit.Record()) {
		entries = append(entries, retention.Entry{Key: p.Key, Value: p.Value})
	}
	return entries
}

// beginRun records that the daemon was started if a change is the first thing that gateways are told of. It runs
// between two groups.
func (e *Engine) beginRun(ch *license.Change) {
	if ch.Refresh == 0 {
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
	p := next.ProductByID(ch.Refresh)
	if p == nil {
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
