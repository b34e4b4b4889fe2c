package query

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
)

// View is one look at the state, inside the gate (Reader.View).
type View struct{ *shard.View }

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
	slot := v.Table.Find(v.Table.KeyOf(p.ID, name))
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
	grant := v.Table.Grant(slot.Ordinal())
	window := *p.Window(v.NowMs)
	messages, denied := slot.Message().At(window.Day), slot.Denied().At(window.Day)
	d := Device{
		Ordinal: slot.Ordinal(), Product: p.ID, Name: string(name),
		Online: session.Online(), Suspended: session.Suspended(), Holder: v.Producers.Name(session.Holder()),
		ActivatedS: int64(grant.ActivatedAt) + counters.EpochS,
		Window:     window, Up: messages.Up(), Down: messages.Down(), Denied: denied.Denied(),
		OTA: slot.OTA().At(window.Month), MessagesMax: p.Plan.MessagesPerDay, OTAMax: p.Plan.OTAPerMonth,
	}
	d.ExpiresS = p.ExpiryS(d.ActivatedS)
	d.Active = w.State() == counters.LicenseActive && v.NowMs/1000 < d.ExpiresS
	d.Online = d.Online && d.Active
	if seen := slot.Seen().LastSeen(); seen > 0 {
		d.LastSeenS = int64(seen) + counters.EpochS
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
	v.Table.Walk(from, func(o counters.Ordinal, product uint32, name []byte) bool {
		next = o
		if scan--; scan < 0 {
			end = false
			return false
		}
		if product != p.ID {
			return true
		}
		slot := v.Table.SlotOf(o)
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

// Used returns how many licences or units a lot has given out, and how many it holds.
func (v *View) Used(p *license.Product, l *license.Lot) (used, quantity uint64) {
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	return l.Pool.Used(), l.Pool.Quantity()
}
