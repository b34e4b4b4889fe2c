package shard

import (
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard/record"
)

// A CloudEvent that is sent again is answered as the first time and counts nothing. What its first was is remembered by
// source and id (package duplicates), in these cases:
//
//	the first was                         the same again is
//	accepted                              accepted, and nothing is counted or logged
//	denied by the quota of messages       denied alike, as long as the quota has no room for it: a day later, or under
//	                                      another plan, it is decided anew
//	denied by anything else               decided anew: it counted nothing, and its sender may have done what was wanting
//
// Sequences come first: of a request that carries one, origins are not looked at. OTAs have ids of their own (R17).

// resolveOrigins hashes the origins of a request's events, outside the gate. Accounts do not share sources, and the
// hash is keyed, so that nobody can choose a source and an id that are another one's.
func (e *Engine) resolveOrigins(r *Request) {
	r.eventKeys = r.eventKeys[:0]
	if r.Claim != nil {
		return
	}
	for _, o := range r.Batch.Origins {
		var key record.EventKey
		if o.ID.Len > 0 {
			b := binary.LittleEndian.AppendUint32(r.origin[:0], r.Account)
			b = binary.LittleEndian.AppendUint32(b, o.Source.Len)
			b = append(b, r.Batch.Bytes(o.Source)...)
			r.origin = append(b, r.Batch.Bytes(o.ID)...)
			key = xxh3.Hash128Seed(r.origin, e.o.HashSeed).Bytes()
		}
		r.eventKeys = append(r.eventKeys, key)
	}
}

// decideOnce decides the event in hand and remembers it by its key, or answers it as it was answered before.
func (t *turn) decideOnce(key *record.EventKey) {
	nowS := t.nowMs / 1000
	if before := t.repeats.Begin(key, nowS); before != 0 && t.holds(before) {
		t.repeats.Forget(key, true)
		t.hasDuplicate = true
		t.answer()
		return
	}
	t.act()
	t.note()
	d := record.Decided{Key: *key, AtS: uint32(nowS)}
	switch {
	case t.verdict.Code == event.Accepted && t.observed != event.Accepted:
		d.Outcome = record.OutcomeObserved
	case t.verdict.Code == event.Accepted:
		d.Outcome = record.OutcomeAccepted
	case t.verdict.Code == event.MessageQuotaExceeded:
		d.Outcome = record.OutcomeDenied
	default:
		t.repeats.Forget(key, false)
		return
	}
	t.l.records.Decided(&d)
	t.repeats.Remember(d)
}

// holds makes the verdict that of the first event with the same key, with the numbers of the quota as it stands, and
// reports whether it still holds.
func (t *turn) holds(before record.Outcome) bool {
	if t.ev.Type != event.Up && t.ev.Type != event.Down {
		return before != record.OutcomeDenied
	}
	if t.slot == nil {
		t.slot = t.table.Find(t.key) // The batch itself may have added the device.
	}
	plan, used := &t.product.Plan, t.used()
	limit := plan.MessagesPerDay
	switch before {
	case record.OutcomeDenied:
		if t.product.Observes {
			limit = counters.MessagesPerDayMax
		}
		if used+plan.MessageUnits(t.ev.Size) <= limit {
			return false
		}
		t.verdict.Code = event.MessageQuotaExceeded
	case record.OutcomeObserved:
		t.observed = event.MessageQuotaExceeded
	}
	if t.r.Single || before != record.OutcomeAccepted {
		t.quota(limit, used, 0)
	}
	return true
}
