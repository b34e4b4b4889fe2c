package shard

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/record"
)

// ota decides the start of a firmware upgrade (R15, R16).
func (t *turn) ota() {
	p := t.product
	usable := t.mayUse()
	p.State.Account.Lock()
	defer p.State.Account.Unlock()
	if !usable {
		var w counters.OTAWord
		if t.slot != nil {
			w = t.slot.OTA()
		}
		t.otaQuota(w.At(t.window.Month), 0, p.PackUnits())
		t.denied()
		return
	}
	units := p.Plan.OTAUnits(t.ev.Size)
	packs := p.PackUnits()
	before := t.slot.OTA()
	out := before.Take(t.window.Month, units, p.Plan.OTAPerMonth, packs)
	ordinal := uint64(t.slot.Ordinal())
	if out.OK && out.FromPacks > 0 {
		p.TakePacks(uint64(out.FromPacks), func(pool *license.Pool) {
			t.l.records.Pool(record.Pool{ID: pool.ID, Drawn: pool.Drawn, Returned: pool.Returned})
		})
	}
	t.slot.StoreOTA(out.After)
	t.l.records.OTA(ordinal, uint64(out.After))
	if out.Closed != 0 {
		t.l.records.Closed(wordOTA, ordinal, uint64(out.Closed))
	}
	total := t.l.totalOf(p.ID, t.nowMs)
	if !out.OK {
		t.verdict.Code = event.OTAQuotaExceeded
		t.otaQuota(out.After, units, packs)
		total.OTADenied++
		t.denied()
		return
	}
	total.OTAAllowance += uint64(out.FromAllowance)
	total.OTAPacks += uint64(out.FromPacks)
	if t.r.Single {
		t.otaQuota(out.After, units, packs-uint64(out.FromPacks))
	}
	t.accepted()
}

// otaQuota fills in the numbers of the OTA quota.
func (t *turn) otaQuota(w counters.OTAWord, requested uint32, packs uint64) {
	v := &t.verdict
	v.Limit, v.Used = uint64(t.product.Plan.OTAPerMonth), uint64(w.Allowance())
	v.Requested, v.TopupAvailable = uint64(requested), packs
	v.WindowStartMs, v.ResetsAtMs = t.window.MonthStartMs, t.window.MonthEndMs
}

// otaVoid gives the units of an upgrade back by its id (R17).
func (t *turn) otaVoid() {
	if t.slot == nil {
		t.slot = t.e.table.Find(t.key)
	}
	t.verdict.Code = event.UnknownOTA
	t.denied()
}
