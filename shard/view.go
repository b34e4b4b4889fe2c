package shard

import (
	"errors"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// View is one look at the state, inside the gate. Nothing of it may be kept but values that were copied out.
type View struct {
	Catalogue *license.Catalogue
	NowMs     int64 // Unix milliseconds, never before a decision that is seen
	e         *Engine
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
	fn(&View{Catalogue: e.catalogue.Load(), NowMs: e.clock.view(), e: e})
	g := e.gate.newest()
	e.gate.mu.RUnlock()
	return e.awaitNewest(g)
}

// settle returns when everything that was decided before the call is durable.
func (e *Engine) settle() error { return e.View(func(*View) {}) }

// Durable returns when everything that was decided before the call is durable: what was read from the catalogue before
// may leave then.
func (e *Engine) Durable() error { return e.settle() }

// settleView returns when the ledger has everything that was decided before the call.
func (e *Engine) settleView() error {
	if err := e.settle(); err != nil {
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

// Device is a device as views show it. Times are Unix seconds, 0 where there is none.
type Device struct {
	Ordinal     counters.Ordinal
	Product     uint32
	Name        string
	Active      bool
	Online      bool
	Holder      string
	Suspended   bool
	ActivatedS  int64
	ExpiresS    int64
	LastSeenS   int64
	Window      calendar.Window
	Up, Down    uint32
	Denied      uint64
	OTA         counters.OTAWord // of the running month
	MessagesMax uint32
	OTAMax      uint32
}

// Device returns the device of a product by name; ok is false if it was never active.
func (v *View) Device(p *license.Product, name []byte) (d Device, ok bool) {
	slot := v.e.table.Find(v.e.table.KeyOf(p.ID, name))
	if slot == nil {
		return Device{}, false
	}
	return v.device(p, slot, name)
}

func (v *View) device(p *license.Product, slot *counters.Slot, name []byte) (Device, bool) {
	w := slot.License()
	if w.Generation() == 0 {
		return Device{}, false // It is being activated by somebody who is still inside.
	}
	session := slot.Session()
	grant := v.e.table.Grant(slot.Ordinal())
	window := *p.Window(v.NowMs)
	messages, denied := slot.Message().At(window.Day), slot.Denied().At(window.Day)
	d := Device{
		Ordinal: slot.Ordinal(), Product: p.ID, Name: string(name),
		Online: session.Online(), Suspended: session.Suspended(), Holder: v.e.producers.Name(session.Holder()),
		ActivatedS: int64(grant.ActivatedAt) + epochS,
		Window:     window, Up: messages.Up(), Down: messages.Down(), Denied: denied.Denied(),
		OTA: slot.OTA().At(window.Month), MessagesMax: p.Plan.MessagesPerDay, OTAMax: p.Plan.OTAPerMonth,
	}
	d.ExpiresS = p.ExpiryS(d.ActivatedS)
	d.Active = w.State() == counters.LicenseActive && v.NowMs/1000 < d.ExpiresS
	d.Online = d.Online && d.Active
	if seen := slot.Seen().LastSeen(); seen > 0 {
		d.LastSeenS = int64(seen) + epochS
	}
	return d, true
}

// Devices calls fn for the devices of a product from ordinal from on, in the order of their ordinals, which never
// changes, until fn returns false or scan devices of any product were looked at. It returns where to go on, and whether
// that is the end.
func (v *View) Devices(
	p *license.Product,
	from counters.Ordinal,
	scan int,
	fn func(*Device) bool,
) (next counters.Ordinal, end bool) {
	next, end = from, true
	v.e.table.Walk(from, func(o counters.Ordinal, product uint32, name []byte) bool {
		next = o
		if scan--; scan < 0 {
			end = false
			return false
		}
		if product != p.ID {
			return true
		}
		slot := v.e.table.SlotOf(o)
		if slot == nil {
			return true
		}
		if d, ok := v.device(p, slot, name); ok && !fn(&d) {
			end = false
			return false
		}
		return true
	})
	return next, end
}

// Licenses returns the licences and top-up units of a product at one instant (R7).
func (v *View) Licenses(p *license.Product) (licenses, topups license.Counts) {
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	return p.Licenses(), p.Topups()
}

// Account returns the licences of an account, gifts included, and its gifts alone, at one instant (R7).
func (v *View) Account(a *license.Account) (licenses, gifts license.Counts) {
	a.State.Lock()
	defer a.State.Unlock()
	gifts = a.GiftCounts()
	licenses = gifts
	for _, p := range v.Catalogue.Products(a.Name) {
		licenses.Add(p.LotCounts())
	}
	return licenses, gifts
}

// Used returns how many licences or units a lot has given out, and how many it holds.
func (v *View) Used(p *license.Product, l *license.Lot) (used, quantity uint64) {
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	return l.Pool.Used(), l.Pool.Quantity()
}

// Totals returns a product's usage since its first quarter of an hour that is still held, for the metrics of the
// daemon.
func (e *Engine) Totals(product uint32) (sum record.Totals) {
	e.totals.Lock()
	defer e.totals.Unlock()
	e.totals.Each(func(q record.Quarter, t *record.Totals) {
		if q.Product == product {
			sum.Add(t)
		}
	})
	return sum
}
