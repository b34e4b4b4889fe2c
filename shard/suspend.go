package shard

import (
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// suspendDevice does what a change says of a device, between two groups: what it records belongs to the group that
// begins there.
func (e *Engine) suspendDevice(cat *license.Catalogue, d *license.DeviceSuspension) {
	slot := e.table.Find(e.table.KeyOf(d.Product, []byte(d.Device)))
	if slot == nil {
		return
	}
	nowMs, ok := e.clock.now()
	if !ok {
		nowMs = e.clock.last.Load()
	}
	l := e.gate.all[0]
	t := turn{e: e, l: l, cat: cat, nowMs: nowMs, slot: slot, product: cat.ProductByID(d.Product)}
	e.gate.open.entered.Store(true)
	l.begin(nowMs, 0)
	t.disown()
	out := slot.SetSuspended(d.Suspended)
	t.session(out)
	switch {
	case out.WentOffline():
		t.command(event.Suspended, out.After)
	case out.Changed():
		// It was offline already. A command that it has not obeyed yet goes on under its new session.
		if m, ok := e.commands.Renew(slot.Ordinal(), out.Before.Change(), out.After.Change()); ok {
			l.records.Command(m)
		}
	}
	l.end(!l.records.Empty())
	signal(e.gate.kick)
}

// PutOffline takes every online device of the products offline that pick chooses, and has their holders told why (R20).
// It returns when that is durable.
func (e *Engine) PutOffline(pick func(*license.Product) bool, reason event.Code) error {
	var last *group
	for s := range shards {
		l, err := e.enter(rowBytes, 0)
		if err != nil {
			return err
		}
		nowMs, ok := e.clock.now()
		if !ok {
			nowMs = e.clock.last.Load()
		}
		t := turn{e: e, l: l, cat: e.catalogue.Load(), nowMs: nowMs}
		l.begin(nowMs, 0)
		for slot := range e.table.Slots(s) {
			if !slot.Session().Online() {
				continue
			}
			if t.product = t.cat.ProductByID(slot.Product()); t.product != nil && pick(t.product) {
				t.slot = slot
				t.putOffline(reason)
			}
		}
		l.end(!l.records.Empty())
		last = e.gate.leave(l)
	}
	return e.await(last)
}
