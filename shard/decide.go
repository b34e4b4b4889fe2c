package shard

import (
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// The hot path. Between enter and leave every event passes through decideBatch once: no lock, no allocation, no map and
// no clock for a message of an active device. Budget beside the device table's own: 40 ns an event.

// epochS is where the device table counts seconds from: 1 January 2020, in Unix seconds.
const epochS = counters.EpochS

// shards is how many parts the device table has.
const shards = counters.Shards

// decideBatch decides a request.
func (t *turn) decideBatch() error {
	r := t.r
	if err := t.mayDecide(); err != nil {
		return err
	}
	holder, err := t.enterProducer()
	if err != nil {
		return err
	}
	t.begin(holder)
	for from := 0; from < len(r.Batch.Events); from += findBatch {
		t.decideBlock(from, min(from+findBatch, len(r.Batch.Events)))
	}
	t.finish()
	if r.claim.Mine() {
		t.claim()
	}
	return nil
}

// mayDecide says why the request cannot be decided in this turn.
func (t *turn) mayDecide() error {
	switch r := t.r; {
	case r.Token != nil && !t.cat.Honors(r.Token, t.nowMs):
		return ErrTokenRevoked
	case r.hasIDs && t.e.upgrades.Epoch != r.upgradeEpoch:
		return errLookAgain
	}
	return nil
}

// decideBlock decides events whose devices are looked up together.
func (t *turn) decideBlock(from, to int) {
	t.find(from, to)
	for i := from; i < to; i++ {
		t.decide(i)
	}
}

// finish completes the result when all events are decided.
func (t *turn) finish() {
	r := t.r
	r.Result.Last, r.DecidedMs = event.Verdict{}, t.nowMs
	if r.Single {
		r.Result.Last = t.verdict
	}
}

// find looks up a block of devices. Products that were created after resolve are looked up again.
func (t *turn) find(from, to int) {
	for i := from; i < to; i++ {
		if ev := &t.r.Batch.Events[i]; ev.Fault == event.FaultNone || ev.Fault == event.FaultPayloadTooLarge {
			t.refresh(i, ev)
		}
	}
	t.table.FindBatch(t.r.keys[from:to], t.r.slots[from:to])
	if t.sketch == nil {
		return
	}
	for i := from; i < to; i++ {
		if p := t.r.products[i]; p != nil {
			t.r.products[i] = t.sketch.Product(p)
		}
	}
}

// refresh replaces what resolve found by what holds in this group's catalogue.
func (t *turn) refresh(i int, ev *event.Event) {
	p := t.r.products[i]
	if i > 0 && p != nil && t.r.products[i-1] != nil && t.r.products[i-1].ID == p.ID {
		t.r.products[i] = t.r.products[i-1]
		return
	}
	if p != nil {
		t.r.products[i] = t.cat.ProductByID(p.ID)
		return
	}
	if p = t.cat.Product(t.r.Batch.Bytes(ev.Product)); p != nil {
		t.r.products[i] = p
		t.r.keys[i] = t.e.table.KeyOf(p.ID, t.r.Batch.Bytes(ev.Device))
	}
}

// decide decides one event and notes its verdict.
func (t *turn) decide(i int) {
	t.index, t.ev = i, &t.r.Batch.Events[i]
	t.verdict, t.observed = event.Verdict{}, event.Accepted
	p := t.r.products[i]
	foreign := p == nil || (t.r.Account != 0 && p.AccountID != t.r.Account)
	switch {
	case t.ev.Fault != event.FaultNone && (foreign || t.ev.Fault != event.FaultPayloadTooLarge):
		t.verdict = event.Verdict{Code: t.ev.Fault.Code(), Fault: t.ev.Fault}
		t.note()
		return
	case foreign:
		t.verdict.Code = event.UnknownProduct
		t.note()
		return
	}
	if p != t.product {
		t.product, t.window, t.told = p, p.Window(t.nowMs), toldFrom(t.cat, p)
	}
	t.key, t.slot = t.r.keys[i], t.r.slots[i]
	if t.ev.Fault != event.FaultNone {
		t.tooLarge()
		t.note()
		return
	}
	if len(t.r.eventKeys) > 0 && t.r.eventKeys[i] != (record.EventKey{}) {
		t.decideOnce(&t.r.eventKeys[i])
		return
	}
	t.act()
	t.note()
}

// act decides the event in hand, of a known product.
func (t *turn) act() {
	switch t.ev.Type {
	case event.Up, event.Down:
		t.message()
	case event.Connect:
		t.connect()
	case event.Disconnect:
		t.disconnect()
	case event.OTA:
		t.ota()
	case event.OTAVoid:
		t.otaVoid()
	}
}

// tooLarge denies an event for its payload. It is decided as far as that, so it stands in the log (R18).
func (t *turn) tooLarge() {
	if t.slot == nil {
		t.slot = t.table.Find(t.key)
	}
	if t.ev.Type == event.Disconnect || t.ev.Type == event.OTAVoid || !t.suspended() { // R3: suspension comes first.
		t.verdict = event.Verdict{Code: t.ev.Fault.Code(), Fault: t.ev.Fault}
	}
	switch t.ev.Type {
	case event.Up, event.Down:
		t.quota(t.product.Plan.MessagesPerDay, t.used(), 0)
	case event.OTA:
		t.product.State.Account.Lock()
		defer t.product.State.Account.Unlock()
		t.otaQuota(t.otaWord(), 0)
	}
	t.denied()
}

// note counts the verdict and puts it into the answer.
func (t *turn) note() {
	t.l.verdicts[t.ev.Type][t.verdict.Code]++
	if t.verdict.Code == event.Accepted && t.observed != event.Accepted {
		t.l.observed[t.ev.Type]++
	}
	t.answer()
}

// answer puts the verdict into the answer: in full if it is a denial, or would be one.
func (t *turn) answer() {
	result := &t.r.Result
	switch {
	case t.verdict.Code != event.Accepted:
		result.Denials = append(result.Denials, event.Denial{Index: t.index, Verdict: t.verdict})
		return
	case t.observed != event.Accepted:
		would := t.verdict
		would.Code = t.observed
		result.WouldDeny = append(result.WouldDeny, event.Denial{Index: t.index, Verdict: would})
	}
	result.Accepted++
}

// message decides an up or down (R3, R10 to R13).
func (t *turn) message() {
	if !t.mayUse() {
		t.quota(t.product.Plan.MessagesPerDay, t.used(), 0)
		t.denied()
		return
	}
	p := t.product
	units, limit := p.Plan.MessageUnits(t.ev.Size), p.Plan.MessagesPerDay
	if p.Observes {
		limit = counters.MessagesPerDayMax // More the word does not hold.
	}
	if t.told != nobodyTold && p.Plan.MessageUnitBytes > 0 {
		t.countTold(units, limit)
		return
	}
	t.counted(t.slot.CountMessage(t.window.Day, t.ev.Type == event.Up, units, limit), units, limit)
}

// counted notes what became of a message of so many units that was compared with a limit.
func (t *turn) counted(out counters.MessageOutcome, units, limit uint32) {
	p, ev, up := t.product, t.ev, t.ev.Type == event.Up
	ordinal := uint64(t.slot.Ordinal())
	if !out.OK {
		t.verdict.Code = event.MessageQuotaExceeded
		t.quota(limit, out.After.Used(), 0)
		after, closed, grown := t.slot.CountDenied(t.window.Day, units)
		t.total(after.Day()).Deny(ev.Type, event.MessageQuotaExceeded, grown)
		t.l.records.DeniedMessage(ev.Type, ordinal, ev.Size, t.numbers(), after.Day(), after.Denied())
		p.State.Days.Use(after.Day())
		if closed != 0 {
			t.closed(wordDenied, uint64(closed), closed.Day())
		}
		t.attach(false, 0)
		if t.told != nobodyTold {
			t.tellDenied(&out, after, units)
		}
		return
	}
	t.l.records.Message(ev.Type, ordinal, ev.Size, out.After.Day(), out.After.Up(), out.After.Down())
	p.State.Days.Use(out.After.Day())
	if out.Closed != 0 {
		t.closed(wordMessages, uint64(out.Closed), out.Closed.Day())
	}
	total := t.total(out.After.Day())
	if up {
		total.MessagesUp += uint64(units)
	} else {
		total.MessagesDown += uint64(units)
	}
	t.slot.Touch(t.nowS)
	used := out.After.Used()
	if used > p.Plan.MessagesPerDay {
		t.observed = event.MessageQuotaExceeded
		total.Observe(ev.Type, t.observed, uint64(units))
	}
	if t.r.Single || t.observed != event.Accepted {
		t.quota(p.Plan.MessagesPerDay, used, 0)
	}
	t.attach(true, used)
	if used >= t.told {
		t.tellUsed(out.After.Day(), used-units, used)
	}
}

// mayUse reports whether the device may send, receive or upgrade; if not, the verdict says why.
func (t *turn) mayUse() bool {
	if t.suspended() {
		return false
	}
	if t.slot == nil {
		// The batch itself may have added the device since its slots were looked up.
		if t.slot = t.table.Find(t.key); t.slot == nil {
			t.verdict.Code = event.NotActivated
			return false
		}
	}
	w := t.slot.License()
	if w.ActiveAt(t.nowS) && w.ValidityVersion() == t.product.ValidityVersion() {
		return true
	}
	return t.renewForUse()
}

// suspended denies the event if its account, product or device is suspended (R20).
func (t *turn) suspended() bool {
	scope := t.cat.Scope(t.product)
	if scope == event.ScopeNone && t.slot != nil && t.slot.Session().Suspended() {
		scope = event.ScopeDevice
	}
	if scope == event.ScopeNone {
		return false
	}
	t.verdict.Code, t.verdict.Scope = event.Suspended, scope
	return true
}

// used returns what the device used of the running day.
func (t *turn) used() uint32 {
	if t.slot == nil {
		return 0
	}
	return t.slot.Message().At(t.window.Day).Used()
}

// quota fills in the numbers of the message quota.
func (t *turn) quota(limit, used uint32, requested uint32) {
	v := &t.verdict
	v.Limit, v.Used, v.Requested = uint64(limit), uint64(used), uint64(requested)
	v.WindowStartMs, v.ResetsAtMs = t.window.DayStartMs, t.window.DayEndMs
}

// denied counts and logs an event that was denied without a change of its device's words.
func (t *turn) denied() {
	t.total(t.window.Day).Deny(t.ev.Type, t.verdict.Code, t.denialUnits())
	t.logDenied()
}

// logDenied logs a denied event: by ordinal if the device is known, in full if it is not.
func (t *turn) logDenied() {
	switch {
	case t.slot == nil:
		t.l.records.Stranger(t.ev.Type, t.verdict.Code, t.product.ID, t.r.Batch.Bytes(t.ev.Device), t.ev.Size)
	case t.verdict.Code == event.OTAQuotaExceeded:
		t.l.records.DeniedUpgrade(t.ev.Type, uint64(t.slot.Ordinal()), t.ev.Size, t.used(), t.numbers())
	default:
		t.l.records.Denied(t.ev.Type, t.verdict.Code, uint64(t.slot.Ordinal()), t.ev.Size, t.used())
	}
	t.attach(false, 0)
}

// numbers returns what the verdict says of the quota.
func (t *turn) numbers() record.QuotaNumbers {
	v := &t.verdict
	return record.QuotaNumbers{Limit: uint32(v.Limit), Used: uint32(v.Used), ResetsAtMs: v.ResetsAtMs}
}

// accepted logs an accepted event that is no message.
func (t *turn) accepted() {
	used := t.used()
	if t.slot == nil {
		t.l.records.Stranger(t.ev.Type, event.Accepted, t.product.ID, t.r.Batch.Bytes(t.ev.Device), t.ev.Size)
	} else {
		t.l.records.Other(t.ev.Type, uint64(t.slot.Ordinal()), t.ev.Size, used)
		t.slot.Touch(t.nowS)
	}
	t.attach(true, used)
}

// attach adds what only the raw log keeps; denied events have no payload in it (R18). The decoder leaves nothing of one
// that is too large. used is the day's use that the row shows.
func (t *turn) attach(payload bool, used uint32) {
	ev, b := t.ev, t.r.Batch
	tooLarge := ev.Fault == event.FaultPayloadTooLarge
	lacks := t.verdict.Code == event.OTAQuotaExceeded || t.observed == event.OTAQuotaExceeded
	if ev.ID.Len|ev.Topic.Len|ev.Payload.Len == 0 && ev.TimeMs == 0 && !tooLarge && t.observed == event.Accepted &&
		!lacks {
		return
	}
	sent := b.Bytes(ev.Payload)
	x := record.Extras{ID: b.Bytes(ev.ID), Topic: b.Bytes(ev.Topic), TimeMs: ev.TimeMs}
	if payload && !t.product.PayloadOff {
		x.Payload = sent[:min(len(sent), t.e.o.LogPayloadBytes)]
	}
	if t.observed != event.Accepted {
		x.WouldDeny, x.Quota, x.DayUsed = t.observed, t.numbers(), used
	}
	if lacks {
		x.Requested, x.TopupAvailable = uint32(t.verdict.Requested), t.verdict.TopupAvailable
	}
	x.IsCut = tooLarge || len(x.Payload) < len(sent)
	t.l.records.Attach(&x)
}
