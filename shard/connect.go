package shard

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// The places of a device's words, as records name them.
const (
	wordMessages = record.WordMessages
	wordDenied   = record.WordDenied
)

// connect decides a connect (R1, R3).
func (t *turn) connect() {
	if t.slot == nil {
		t.slot = t.table.Find(t.key)
	}
	if t.suspended() || !t.license() {
		if t.slot != nil && t.verdict.Code != event.Suspended {
			t.putOffline(t.verdict.Code) // It was online when its licence ended.
		}
		t.denied()
		return
	}
	out := t.slot.SetOnline(t.holder)
	if out.After.Suspended() { // It was suspended since it was looked at.
		t.verdict.Code, t.verdict.Scope = event.Suspended, event.ScopeDevice
		t.denied()
		return
	}
	t.session(out)
	t.accepted()
}

// session records a changed session.
func (t *turn) session(out counters.SessionOutcome) {
	if !out.Changed() {
		return
	}
	t.l.records.Session(uint64(t.slot.Ordinal()), uint64(out.After))
	switch {
	case out.WentOnline():
		t.product.State.Online.Add(1)
	case out.WentOffline():
		t.product.State.Online.Add(-1)
	}
}

// disconnect is always accepted; it takes the device offline only if it comes from its holder (R3).
func (t *turn) disconnect() {
	if t.slot == nil {
		t.slot = t.table.Find(t.key)
	}
	if t.slot != nil {
		t.disown()
		t.session(t.slot.SetOffline(t.holder, false))
	}
	t.accepted()
}

// license makes sure that the device has a licence, consuming one if it must (R1, R3); if it cannot, the verdict says
// why. It is a connect's.
func (t *turn) license() bool {
	if t.slot != nil {
		w := t.slot.License()
		if w.ActiveAt(t.nowS) && w.ValidityVersion() == t.product.ValidityVersion() {
			return true
		}
	}
	t.product.State.Account.Lock()
	defer t.product.State.Account.Unlock()
	if t.slot == nil {
		t.slot = t.table.Find(t.key) // Somebody else may have activated it meanwhile: never twice (R4).
	}
	if t.activeNow() {
		return true
	}
	return t.consume()
}

// activeNow brings the licence's end up to date with the plan and reports whether it is active. The account is locked.
func (t *turn) activeNow() bool {
	return t.slot != nil && currentEnd(t.table, t.slot, t.product).ActiveAt(t.nowS)
}

// currentEnd computes the end of an active licence anew if the plan's validity changed since (R9) and returns its word.
// Nothing is recorded: recovery computes the same from the plan's history. The account is locked.
func currentEnd(table deviceTable, slot *counters.Slot, p *license.Product) counters.LicenseWord {
	w := slot.License()
	version := p.ValidityVersion()
	if w.State() != counters.LicenseActive || w.ValidityVersion() == version {
		return w
	}
	end := p.ExpiryS(int64(table.Grant(slot.Ordinal()).ActivatedAt) + epochS)
	w = w.WithExpiry(version, uint64(end-epochS))
	slot.StoreLicense(w)
	return w
}

// renewForUse is the way of an up, down or ota whose device is not plainly active: the end of its licence is computed
// anew after a plan change; a licence that ran out while the device was online is renewed on the spot, or the device
// put offline (R3).
func (t *turn) renewForUse() bool {
	t.product.State.Account.Lock()
	defer t.product.State.Account.Unlock()
	if t.activeNow() {
		return true
	}
	w := t.slot.License()
	switch {
	case w.State() == counters.LicenseActive && t.slot.Session().Online():
		if t.consume() {
			return true
		}
		t.putOffline(t.verdict.Code)
	case w.Generation() > 0 && !t.renews():
		t.verdict.Code = event.RenewalOff
	case w.Generation() > 0 && !t.product.LicensesLeft():
		t.verdict.Code = event.LicenseExhausted
	default:
		t.verdict.Code = event.NotActivated // It must connect first, and is renewed then.
	}
	return false
}

// renews reports whether the licence of the device in hand, which had one, is renewed (R19).
func (t *turn) renews() bool {
	_, name := t.table.Name(t.slot.Ordinal())
	return t.product.Renews(name)
}

// consume draws a licence for the device, binding it if it is new. If it may not, the verdict says why, the licence
// that ran out is over, and nothing was made known of a new device (R11). The account is locked.
func (t *turn) consume() bool {
	if t.slot != nil && t.slot.License().Generation() > 0 && !t.renews() {
		t.verdict.Code = event.RenewalOff
		t.end(record.EndRenewalOff)
		return false
	}
	pool := t.product.TakeLicense()
	if pool == nil {
		t.verdict.Code = event.LicenseExhausted
		t.end(record.EndExhausted)
		return false
	}
	if t.slot == nil {
		t.bind()
	}
	t.grant(pool)
	return true
}

// grant gives the device a licence that was drawn from pool.
func (t *turn) grant(pool *license.Pool) {
	before := t.slot.License()
	ordinal := t.slot.Ordinal()
	if before.State() == counters.LicenseActive {
		t.ended(record.EndRenewed, before)
	} else {
		t.product.State.Active.Add(1)
	}
	activation := int64(t.nowS) + epochS
	expiry := uint64(t.product.ExpiryS(activation) - epochS)
	w := counters.NewLicenseWord(before.Generation()+1, counters.LicenseActive, t.product.ValidityVersion(), expiry)
	serial := t.serial.Add(1)
	t.table.SetGrant(ordinal, counters.Grant{ActivatedAt: t.nowS, Serial: serial, Pool: pool.ID})
	t.slot.StoreLicense(w)
	t.l.records.Grant(record.Grant{
		Ordinal: uint64(ordinal), License: uint64(w), ActivationS: activation, Pool: pool.ID, PoolDrawn: pool.Drawn,
		GiftsDrawn: t.product.State.GiftsDrawn, Serial: serial,
	})
	t.expiry.add(expiry, ordinal)
	total := t.total(t.window.Day)
	total.Licenses++
	if before.Generation() == 0 {
		total.Activations++
	}
}

// bind gives the device a slot and a place among the names.
func (t *turn) bind() {
	name := t.r.Batch.Bytes(t.ev.Device)
	slot, inserted, err := t.table.Insert(t.key, name)
	if err != nil {
		// A shard with 16 GiB of names, or a hash collision; memory was reserved by enter. The process ends, and nothing
		// of this group is acknowledged.
		panic("BUG: cannot bind a device: " + err.Error())
	}
	t.slot = slot
	if inserted {
		t.l.records.BindDevice(record.Device{Ordinal: uint64(slot.Ordinal()), Product: t.product.ID, Name: name})
	}
}

// end marks a licence that ran out as ended. The account is locked.
func (t *turn) end(how record.EndReason) {
	if t.slot == nil {
		return
	}
	w := t.slot.License()
	if w.State() != counters.LicenseActive {
		return
	}
	t.ended(how, w)
	w = w.WithState(counters.LicenseEnded)
	t.slot.StoreLicense(w)
	t.product.State.Active.Add(-1)
	t.l.records.License(uint64(t.slot.Ordinal()), uint64(w))
}

// ended records the end of the licence w for the ledger.
func (t *turn) ended(how record.EndReason, w counters.LicenseWord) {
	ordinal := t.slot.Ordinal()
	end := record.End{
		Ordinal: uint64(ordinal), Serial: t.table.Grant(ordinal).Serial, EndedS: int64(w.Expiry()) + epochS, How: how,
	}
	t.l.records.End(end)
}
