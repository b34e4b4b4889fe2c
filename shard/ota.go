package shard

import (
	"fmt"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/recovery"
)

// ota decides the start of a firmware upgrade (R15, R16). With an id that was seen before it counts nothing (R17).
func (t *turn) ota() {
	p := t.product
	usable := t.mayUse()
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	if !usable {
		t.otaDenied(t.otaWord(), 0)
		return
	}
	if t.ev.ID.Len > 0 {
		if up := t.upgrade(); up != nil {
			t.otaAgain(up)
			return
		}
	}
	units := p.Plan.OTAUnits(t.ev.Size)
	before := t.otaWord()
	out := t.takeOTA(before, units)
	total := t.total(t.otaDay(out.After))
	var packs []record.PackUnits
	if out.OK && out.FromPacks > 0 {
		p.TakePacks(uint64(out.FromPacks), func(pool *license.Pool, n uint64) {
			t.pool(pool)
			packs = append(packs, record.PackUnits{Pool: pool.ID, Units: uint32(n)})
		})
	}
	t.storeOTA(out.After)
	if !out.OK {
		t.verdict.Code = event.OTAQuotaExceeded
		total.Deny(event.OTA, event.OTAQuotaExceeded, uint64(out.After.Denied()-before.Denied())) // It saturates.
		t.otaQuota(out.After, units)
		t.logDenied()
		return
	}
	total.OTAAllowance += uint64(out.FromAllowance)
	total.OTAPacks += uint64(out.FromPacks)
	if t.observed != event.Accepted {
		total.Observe(event.OTA, t.observed, 1)
	}
	if t.ev.ID.Len > 0 {
		t.keepUpgrade(&record.Upgrade{
			ID: append(
				[]byte(nil),
				t.r.Batch.Bytes(t.ev.ID)...),
			Size:      t.ev.Size,
			Month:     out.After.Month(),
			Allowance: out.FromAllowance,
			Packs:     packs,
		})
	}
	t.otaQuota(out.After, units)
	t.accepted()
}

// takeOTA takes units of the allowance and the packs. A product that only observes accepts what they do not cover, too.
func (t *turn) takeOTA(w counters.OTAWord, units uint32) counters.OTAOutcome {
	p := t.product
	if !p.Observes {
		return w.Take(t.window.Month, units, p.Plan.OTAPerMonth, p.PackUnits())
	}
	out, over := w.TakeAnyway(t.window.Month, units, p.Plan.OTAPerMonth, p.PackUnits())
	if over {
		t.observed = event.OTAQuotaExceeded
	}
	return out
}

// otaAgain answers an OTA whose id is known.
func (t *turn) otaAgain(up *record.Upgrade) {
	switch {
	case up.Voided:
		t.verdict.Code = event.AlreadyVoided
	case up.Size != t.ev.Size:
		t.verdict.Code = event.OTAIDReused
	default:
		t.otaQuota(t.otaWord(), 0)
		t.accepted()
		return
	}
	t.otaDenied(t.otaWord(), 0)
}

// otaVoid gives the units of an upgrade back by its id, once, until the end of the month after (R17).
func (t *turn) otaVoid() {
	if t.slot == nil {
		t.slot = t.table.Find(t.key)
	}
	if t.slot == nil {
		t.verdict.Code = event.UnknownOTA
		t.denied()
		return
	}
	p := t.product
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	up := t.upgrade()
	var after counters.OTAWord
	ok := false
	switch {
	case up == nil || t.window.Month > up.Month+1:
		t.verdict.Code = event.UnknownOTA
	case up.Voided:
		t.verdict.Code = event.AlreadyVoided
	default:
		if after, ok = t.slot.OTA().GiveBack(t.window.Month, up.Month, up.Allowance, packUnits(up)); !ok {
			t.verdict.Code = event.OTAQuotaExceeded // Its voids of the month are used up.
		}
	}
	if !ok {
		t.otaDenied(t.otaWord(), 0)
		return
	}
	if after != t.slot.OTA() {
		t.storeOTA(after)
	}
	for _, from := range up.Packs {
		t.returnUnits(from)
	}
	voided := *up
	voided.Voided, voided.VoidDay = true, t.otaDay(t.slot.OTA())
	total := t.total(voided.VoidDay)
	total.VoidAllowance += uint64(up.Allowance)
	total.VoidPacks += uint64(packUnits(up))
	voided.ID = append([]byte(nil), t.r.Batch.Bytes(t.ev.ID)...)
	t.keepUpgrade(&voided)
	t.accepted()
}

func packUnits(up *record.Upgrade) (n uint32) {
	for _, p := range up.Packs {
		n += p.Units
	}
	return n
}

// returnUnits gives units back to the pack that they came from.
func (t *turn) returnUnits(from record.PackUnits) {
	for _, pack := range t.product.Packs {
		if pack.Pool.ID == from.Pool {
			pack.Pool.Returned += uint64(from.Units)
			t.pool(pack.Pool)
			return
		}
	}
	panic(fmt.Sprintf("BUG: units came from pack %d, which the product does not have", from.Pool))
}

func (t *turn) pool(pool *license.Pool) {
	t.l.records.Pool(record.Pool{ID: pool.ID, Drawn: pool.Drawn, Returned: pool.Returned})
}

func (t *turn) storeOTA(w counters.OTAWord) {
	t.slot.StoreOTA(w)
	t.l.records.OTA(record.OTA{Ordinal: uint64(t.slot.Ordinal()), Word: uint64(w), Day: t.otaDay(w)})
}

// otaDay returns the day of an OTA event: the running one, or a later one that another lane has begun for the product,
// or the word's month (R12). So the days of a word never fall, and a day's share is what its last word is more than
// that of the day before. The account is locked.
func (t *turn) otaDay(w counters.OTAWord) uint32 {
	s := t.product.State
	s.OTADay = max(s.OTADay, t.window.Day, calendar.FirstDay(w.Month()))
	return s.OTADay
}

// otaWord returns the device's units of the running month.
func (t *turn) otaWord() counters.OTAWord {
	if t.slot == nil {
		return counters.OTAWord(0).At(t.window.Month)
	}
	return t.slot.OTA().At(t.window.Month)
}

// otaDenied fills in the quota and logs the denial. The account is locked.
func (t *turn) otaDenied(w counters.OTAWord, requested uint32) {
	t.otaQuota(w, requested)
	t.denied()
}

// otaQuota fills in the numbers of the OTA quota. The account is locked.
func (t *turn) otaQuota(w counters.OTAWord, requested uint32) {
	v := &t.verdict
	v.Limit, v.Used = uint64(t.product.Plan.OTAPerMonth), uint64(w.Allowance())
	// What one device may draw of the packs is bounded (R16), too: else the numbers of a denial would not say why.
	v.Requested = uint64(requested)
	v.TopupAvailable = min(t.product.PackUnits(), uint64(counters.PackUnitsPerMonthMax-w.Packs()))
	v.WindowStartMs, v.ResetsAtMs = t.window.MonthStartMs, t.window.MonthEndMs
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
		signal(e.gate.kick) // A seal lets go of those that the ledger has.
		return ErrLedgerLags
	}
	return nil
}

// upgrade returns what is known about the id of the event in hand, nil if nothing. The account is locked.
func (t *turn) upgrade() *record.Upgrade {
	key := recovery.AppendUpgradeKey(nil, t.product.ID, t.r.Batch.Bytes(t.ev.Device), t.r.Batch.Bytes(t.ev.ID))
	if up := t.upgrades.Find(key); up != nil {
		return up
	}
	return t.r.upgrades[t.index]
}

// keepUpgrade remembers an upgrade by its id.
func (t *turn) keepUpgrade(up *record.Upgrade) {
	up.Ordinal = uint64(t.slot.Ordinal())
	key := recovery.AppendUpgradeKey(nil, t.product.ID, t.r.Batch.Bytes(t.ev.Device), up.ID)
	t.upgrades.Put(key, up, t.e.sealedSeq.Load()+1)
	t.l.records.Upgrade(*up)
}
