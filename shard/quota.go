package shard

import (
	"math"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/record"
)

// Webhooks are told when a device has used 80 % and 100 % of its day. The compare-and-swap that takes the count over
// the mark writes an effect, and views do the rest. A message costs one comparison for it, with a number that is chosen
// once for each product of a batch.
//
// A message may need several units. Then a day is used up in one of two ways, and the first one tells: its last unit
// was accepted, or a message was denied for which too few were left. They change two words of the device, so what may
// be either one is decided under the account's lock.

// nobodyTold is more than a device can use: the comparison is never true.
const nobodyTold = math.MaxUint32

// toldPercent is the first mark; the second is the whole.
const toldPercent = 80

// toldFrom returns the units of a day from which a message of p may pass a mark.
func toldFrom(cat *license.Catalogue, p *license.Product) uint32 {
	if !cat.TellsQuota(p) {
		return nobodyTold
	}
	return firstMark(limitOf(p))
}

// firstMark returns the units that are toldPercent of limit, rounded up.
func firstMark(limit uint32) uint32 { return uint32((uint64(limit)*toldPercent + 99) / 100) }

// limitOf returns how many units a device of p may use a day; no limit is the largest.
func limitOf(p *license.Product) uint32 {
	return min(p.Plan.MessagesPerDay, counters.MessagesPerDayMax)
}

// countTold counts a message of a product that is watched and whose messages may need several units.
func (t *turn) countTold(units, limit uint32) {
	isUp := t.ev.Type == event.Up
	// One that leaves something of the day is of neither kind, and takes no lock.
	out := t.slot.CountMessage(t.window.Day, isUp, units, max(1, limitOf(t.product))-1)
	if !out.OK {
		account := t.product.State.Account
		account.Lock()
		defer account.Unlock()
		out = t.slot.CountMessage(t.window.Day, isUp, units, limit)
	}
	t.counted(out, units, limit)
}

// tellUsed records the marks that the count of a day has passed on its way from before to used. A mark is passed by one
// message a day, since the count only grows.
func (t *turn) tellUsed(day, before, used uint32) {
	limit := limitOf(t.product)
	if first := firstMark(limit); before < first && used >= first && first < limit {
		t.mark(day, toldPercent, used, limit)
	}
	// A denial for want of units was told already. With one unit a message there is none: what was denied meanwhile came
	// behind this message, and leaves the telling to it. With several the account is locked.
	if before < limit && used >= limit &&
		(t.product.Plan.MessageUnitBytes == 0 || t.slot.Denied().At(day).Denied() == 0) {
		t.mark(day, 100, used, limit)
	}
}

// tellDenied records that a day is used up although a few units are left of it: the first message was denied that needs
// more.
func (t *turn) tellDenied(out *counters.MessageOutcome, after counters.DeniedWord, units uint32) {
	limit, used := limitOf(t.product), out.After.Used()
	if used < limit && after.Denied() == uint64(units) {
		t.mark(out.After.Day(), 100, used, limit)
	}
}

func (t *turn) mark(day uint32, percent uint8, used, limit uint32) {
	t.l.records.Quota(record.Quota{
		Ordinal: uint64(t.slot.Ordinal()), Day: day, Percent: percent, Used: used, Limit: limit,
	})
}
