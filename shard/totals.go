package shard

import (
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
)

// laneTotals gathers what the events of one lane add to products' totals, until the group is sealed. The hot path finds
// its bucket in last, without a map.
type laneTotals struct {
	buckets map[record.Bucket]*record.Totals
	last    record.Bucket
	totals  *record.Totals   // of last; nil without
	free    []*record.Totals // of groups before, so that no group allocates them again
}

// of returns what the lane has gathered in a bucket, to be added to.
func (l *laneTotals) of(b record.Bucket) *record.Totals {
	if l.totals == nil || b != l.last {
		l.last, l.totals = b, l.find(b)
	}
	return l.totals
}

func (l *laneTotals) find(b record.Bucket) *record.Totals {
	if t := l.buckets[b]; t != nil {
		return t
	}
	var t *record.Totals
	if n := len(l.free); n > 0 {
		t, l.free = l.free[n-1], l.free[:n-1]
	} else {
		t = &record.Totals{}
	}
	if l.buckets == nil {
		l.buckets = map[record.Bucket]*record.Totals{}
	}
	l.buckets[b] = t
	return t
}

// take appends what the lane has gathered to dst. It stays the lane's memory: give has it used again.
func (l *laneTotals) take(dst []record.BucketTotals) []record.BucketTotals {
	for b, t := range l.buckets {
		dst = append(dst, record.BucketTotals{Bucket: b, Totals: *t})
	}
	return dst
}

// reset empties the lane's totals. Nobody reads what take returned any more.
func (l *laneTotals) reset() {
	for _, t := range l.buckets {
		if len(l.free) < freeTotalsALane {
			t.Reset()
			l.free = append(l.free, t)
		}
	}
	clear(l.buckets)
	l.totals = nil
}

// total returns the totals that the event in hand adds to when its word is of a day, the running one or a later one:
// another lane may have begun the next day for the device (R12). The event counts then from the beginning of that day
// on, so that the days of the words add up to the days of the totals.
func (t *turn) total(day uint32) *record.Totals {
	b := record.Bucket{Product: t.product.ID, Quarter: t.quarter, Day: t.window.Day}
	if day > b.Day {
		b.Day = day
		b.Quarter = max(b.Quarter, uint32(calendar.DayStartMs(day, t.product.Zone)/record.QuarterMs))
	}
	return t.l.totals.of(b)
}

// denialUnits returns what a denial of the event in hand counts in the totals: units of a message, or one event.
func (t *turn) denialUnits() uint64 {
	if t.ev.Type == event.Up || t.ev.Type == event.Down {
		return uint64(t.product.Plan.MessageUnits(t.ev.Size))
	}
	return 1
}
