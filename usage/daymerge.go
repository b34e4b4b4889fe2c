package usage

import (
	"bytes"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/views"
)

// merging is how far the days are merged that a group ends.
type merging struct {
	group   uint64 // 0: nothing is under way
	product uint32 // those before it are merged
	day     uint32 // of product; those before it are merged
	ordinal uint64 // of day; those before it are merged
}

// endDays merges the days of products up to those in ends, which a group says are closed, and moves the position to
// that group: what was gathered up to it is in the ledger. If there is more than one call of Apply may merge, the next
// call goes on, and done is false. After a crash or an error on the way the group is applied again, and the same blocks
// are written again over the first ones. The blocks of level 0 go only behind the position, since readers use level 1
// from there on.
func (l *Ledger) endDays(ends map[uint32]uint32, to views.Position) (done bool, err error) {
	if l.merging.group != to.Seq {
		l.merging = merging{group: to.Seq}
	}
	products := slices.Sorted(maps.Keys(ends))
	if done, err = l.mergeDays(products, ends); err != nil || !done {
		if err != nil {
			l.merging = merging{}
		}
		return false, err
	}
	l.merging = merging{}
	var merged []ledger.Entry
	for _, product := range products {
		through, err := l.mergedOf(product)
		if err != nil {
			return false, err
		}
		if ends[product] > through {
			value := binary.BigEndian.AppendUint16(nil, uint16(ends[product]))
			merged = append(merged, ledger.Entry{Key: mergedKey(product), Value: value})
		}
	}
	if err := l.write(merged, to); err != nil {
		return false, err
	}
	for product, day := range ends {
		l.merged[product] = max(l.merged[product], day)
	}
	l.isTidy = false
	return true, l.tidy()
}

// mergedOf is mergedThrough for Apply.
func (l *Ledger) mergedOf(product uint32) (day uint32, err error) {
	day, known := l.merged[product]
	if !known {
		if day, err = mergedThrough(l.store, product); err == nil {
			l.merged[product] = day
		}
	}
	return day, err
}

// mergeDays writes the blocks of level 1 of the days that end, so many rows at a time that memory is bounded. It goes
// on where merging says, and reports whether that was all; else this call of Apply has merged as many as it may.
func (l *Ledger) mergeDays(products []uint32, ends map[uint32]uint32) (done bool, err error) {
	m, at := ledger.NewParts(l.store), &l.merging
	for _, product := range products {
		if product > at.product {
			through, err := l.mergedOf(product)
			if err != nil {
				return false, err
			}
			at.product, at.day, at.ordinal = product, through+1, 0
		}
		for product == at.product && at.day <= ends[product] {
			if l.mergeLeft <= 0 {
				return false, m.Flush()
			}
			if err := l.mergeSome(m, ends[product]); err != nil {
				return false, err
			}
		}
	}
	return true, m.Flush()
}

// mergeSome merges the next rows of one day, up to day last, and moves merging behind them.
func (l *Ledger) mergeSome(m *ledger.Parts, last uint32) error {
	at := &l.merging
	l.mergeLeft -= mergeLookRows
	day, found, err := nextDay(l.store, levelOpen, at.product, at.day)
	if err != nil {
		return err
	}
	if !found || day > last {
		at.day = last + 1
		return nil
	}
	if day > at.day {
		at.day, at.ordinal = day, 0
	}
	const end = uint64(counters.OrdinalMax) + 1
	rows, next, err := gatherOpen(l.store, l.codec, dayOfProduct{at.product, day}, at.ordinal, end, l.mergeRows)
	if err != nil {
		return err
	}
	l.mergeLeft -= len(rows)
	untilMs := monthUntilMs(calendar.MonthOf(day), l.retention)
	for block := range slices.Chunk(rows, dayBlockRows) {
		err := m.Add(ledger.Entry{
			Key:   dayKey(levelMerged, at.product, day, block[0].Ordinal, 0),
			Value: l.codec.append(nil, block), UntilMs: untilMs,
		})
		if err != nil {
			return err
		}
	}
	if at.ordinal = next; next == end {
		at.day, at.ordinal = day+1, 0
	}
	return nil
}

// tidy deletes blocks of level 0 of days that are merged: of the group just applied, and what a crash or a call before
// has left. One call deletes a bounded number; the next call of Apply goes on.
func (l *Ledger) tidy() error {
	left := dropKeys
	start := []byte(keyDevices)
	for left > 0 && !l.isTidy {
		var product uint32
		found := false
		err := l.store.Scan([]byte{keyDevices[0], levelOpen}, start, false, func(key, _ []byte) (_ bool, err error) {
			product, _, _, err = decodeDayKey(key)
			found = err == nil
			return false, err
		})
		if err != nil {
			return err
		}
		if !found {
			l.isTidy = true
			break
		}
		dropped, err := l.dropMerged(product, left)
		if err != nil {
			return err
		}
		left -= dropped
		start = dayKey(levelOpen, product, math.MaxUint16, uint64(counters.OrdinalMax), math.MaxUint64)
	}
	return nil
}

// dropMerged deletes the blocks of level 0 of a product's days that are merged, the first most of them.
func (l *Ledger) dropMerged(product uint32, most int) (dropped int, err error) {
	through, err := mergedThrough(l.store, product)
	if err != nil {
		return 0, err
	}
	var gone []ledger.Entry
	err = l.store.Scan(productDays(levelOpen, product), nil, false, func(key, _ []byte) (bool, error) {
		_, day, _, err := decodeDayKey(key)
		if err != nil || day > through || len(gone) == most {
			return false, err
		}
		gone = append(gone, ledger.Entry{Key: bytes.Clone(key), Delete: true})
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	m := ledger.NewParts(l.store)
	if err := m.Add(gone...); err != nil {
		return 0, err
	}
	return len(gone), m.Flush()
}
