package shard

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/retention/record"
)

// The places of a device's words, as records name them.
const (
	wordMessages = record.WordMessages
	wordDenied   = record.WordDenied
	wordOTA      = record.WordOTA
)

// connect decides a connect (R1, R3).
func (t *turn) connect() {
	if t.slot == nil {
		t.slot = t.e.table.Find(t.key)
	}
	if t.suspended() || !t.license() {
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
		t.slot = t.e.table.Find(t.key)
	}
	if t.slot != nil {
		t.session(t.slot.SetOffline(t.holder, false))
	}
	t.accepted()
}

// license makes sure that the device has a licence, consuming one if it must (R1, R3); if it cannot, the verdict says why. It is
// a connect's.
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
		t.slot = t.e.table.Find(t.key) // Somebody else may have activated it meanwhile: never twice (R4).
	}
	if t.activeNow() {
		return true
	}
	return t.consume()
}

// activeNow brings the licence's end up to date with the plan and reports whether it is active. The account is locked.
func (t *turn) activeNow() bool {
	if t.slot == nil {
		return false
	}
	w := t.slot.License()
	if w.State() != counters.LicenseActive {
		return false
	}
	if version := t.product.ValidityVersion(); w.ValidityVersion() != version {
		from := t.e.table.Grant(t.slot.Ordinal()).ActivatedAt
		end := t.product.ExpiryS(int64(from) + epochS)
		w = w.WithExpiry(version, uint64(end-epochS))
		t.slot.StoreLicense(w)
		t.l.records.License(uint64(t.slot.Ordinal()), uint64(w))
	}
	return w.ActiveAt(t.nowS)
}

// renewForUse is the way of an up, down or ota whose device is not plainly active: the end of its licence is computed anew after
// a plan change; a licence that ran out while the device was online is renewed on the spot, or the device put offline (R3).
func (t *turn) renewForUse() bool {
	t.product.State.Account.Lock()
	defer t.product.State.Account.Unlock()
	if t.activeNow() {
		return true
	}
	if t.slot.License().State() == counters.LicenseActive && t.slot.Session().Online() {
		if t.consume() {
			return true
		}
		t.session(t.slot.SetOffline(0, true))
		return false
	}
	if t.product.LicensesLeft() {
		t.verdict.Code = event.NotActivated // It must connect first, and will be renewed then.
	} else {
		t.verdict.Code = event.LicenseExhausted
	}
	return false
}

// consume draws a licence for the device, binding it if it is new. If none is left the verdict says so and nothing was made
// known of the device (R11). The account is locked.
func (t *turn) consume() bool {
	pool := t.product.TakeLicense()
	if pool == nil {
		t.verdict.Code = event.LicenseExhausted
		t.end()
		return false
	}
	if t.slot == nil {
		t.bind()
	}
	before := t.slot.License()
	activation := int64(t.nowS) + epochS
	version := t.product.ValidityVersion()
	w := counters.NewLicenseWord(before.Generation()+1, counters.LicenseActive, version, uint64(t.product.ExpiryS(activation)-epochS))
	serial := t.e.serial.Add(1)
	ordinal := t.slot.Ordinal()
	t.e.table.SetGrant(ordinal, counters.Grant{ActivatedAt: t.nowS, Serial: serial, Pool: pool.ID})
	t.slot.StoreLicense(w)
	if before.State() != counters.LicenseActive {
		t.product.State.Active.Add(1)
	}
	t.l.records.Grant(record.Grant{
		Ordinal: uint64(ordinal), License: uint64(w), ActivationS: activation, Pool: pool.ID, PoolDrawn: pool.Drawn,
		GiftsDrawn: t.product.State.GiftsDrawn, Serial: serial,
	})
	t.l.licenses = append(t.l.licenses, LicenseRow{
		Serial: serial, Product: t.product.ID, Ordinal: ordinal, Pool: pool.ID, ActivatedS: activation, Generation: w.Generation(),
	})
	total := t.l.totalOf(t.product.ID, t.nowMs)
	total.Licenses++
	if before.Generation() == 0 {
		total.Activations++
	}
	return true
}

// bind gives the device a slot and a place among the names.
func (t *turn) bind() {
	name := t.r.Batch.Bytes(t.ev.Device)
	slot, inserted, err := t.e.table.Insert(t.key, name)
	if err != nil {
		// No memory for a few bytes of a name, or a hash collision: the process ends and nothing of this group is acknowledged.
		panic("BUG: cannot bind a device: " + err.Error())
	}
	t.slot = slot
	if inserted {
		t.l.records.BindDevice(record.Device{Ordinal: uint64(slot.Ordinal()), Product: t.product.ID, Name: name})
	}
}

// end marks a licence that ran out as ended. The account is locked.
func (t *turn) end() {
	if t.slot == nil {
		return
	}
	if w := t.slot.License(); w.State() == counters.LicenseActive {
		w = w.WithState(counters.LicenseEnded)
		t.slot.StoreLicense(w)
		t.product.State.Active.Add(-1)
		t.l.records.License(uint64(t.slot.Ordinal()), uint64(w))
	}
}
