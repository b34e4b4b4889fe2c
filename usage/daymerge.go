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

// endDays merges the days of products up to those in ends, which a group says are closed, and moves the position to
// that group: what was gathered up to it is in the ledger. After a crash on the way the group is applied again, and the
// same blocks are written again over the first ones. The blocks of level 0 go only behind the position, since readers
// use level 1 from there on.
func (l *Ledger) endDays(ends map[uint32]uint32, to views.Position) error {
	var merged []ledger.Entry
	m := parts{store: l.store}
	for _, product := range slices.Sorted(maps.Keys(ends)) {
		from, err := mergedThrough(l.store, product)
		if err != nil {
			return err
		}
		if ends[product] <= from {
			continue
		}
		if err := l.mergeDays(&m, product, from+1, ends[product]); err != nil {
			return err
		}
		value := binary.BigEndian.AppendUint16(nil, uint16(ends[product]))
		merged = append(merged, ledger.Entry{Key: mergedKey(product), Value: value})
	}
	if err := m.flush(); err != nil {
		return err
	}
	if err := l.write(merged, to); err != nil {
		return err
	}
	for product, day := range ends {
		l.merged[product] = max(l.merged[product], day)
	}
	if err := l.dropMerged(slices.Sorted(maps.Keys(ends))); err != nil {
		l.isTidy = false
		return err
	}
	return nil
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

// mergeDays writes the blocks of level 1 of a product's days from from to to, so many rows at a time that memory is
// bounded.
func (l *Ledger) mergeDays(m *parts, product, from, to uint32) error {
	for {
		day, found, err := nextDay(l.store, levelOpen, product, from)
		if err != nil || !found || day > to {
			return err
		}
		untilMs := monthUntilMs(calendar.MonthOf(day), l.retention)
		for at := uint64(0); at <= uint64(counters.OrdinalMax); {
			rows, next, err := gatherOpen(
				l.store, l.codec, dayOfProduct{product, day}, at, uint64(counters.OrdinalMax)+1, mergeRows,
			)
			if err != nil {
				return err
			}
			for block := range slices.Chunk(rows, dayBlockRows) {
				err := m.add(ledger.Entry{
					Key:   dayKey(levelMerged, product, day, block[0].Ordinal, 0),
					Value: l.codec.append(nil, block), UntilMs: untilMs,
				})
				if err != nil {
					return err
				}
			}
			at = next
		}
		from = day + 1
	}
}

// dropMerged deletes the blocks of level 0 of days that are merged.
func (l *Ledger) dropMerged(products []uint32) error {
	m := parts{store: l.store}
	for _, product := range products {
		through, err := mergedThrough(l.store, product)
		if err != nil {
			return err
		}
		for more := true; more; {
			var keys [][]byte
			err := l.store.Scan(productDays(levelOpen, product), nil, false, func(key, _ []byte) (bool, error) {
				_, day, _, err := decodeDayKey(key)
				if err != nil || day > through || len(keys) == dropKeys {
					return false, err
				}
				keys = append(keys, bytes.Clone(key))
				return true, nil
			})
			if err != nil {
				return err
			}
			for _, key := range keys {
				if err := m.add(ledger.Entry{Key: key, Delete: true}); err != nil {
					return err
				}
			}
			if err := m.flush(); err != nil {
				return err
			}
			more = len(keys) == dropKeys
		}
	}
	return nil
}

// dropLeft deletes what a crash has left of level 0 although it was merged.
func (l *Ledger) dropLeft() error {
	var products []uint32
	start := []byte(keyDevices)
	for found := true; found; {
		found = false
		err := l.store.Scan([]byte{keyDevices[0], levelOpen}, start, false, func(key, _ []byte) (bool, error) {
			product, _, _, err := decodeDayKey(key)
			if err != nil {
				return false, err
			}
			found, products = true, append(products, product)
			start = dayKey(levelOpen, product, math.MaxUint16, uint64(counters.OrdinalMax), math.MaxUint64)
			return false, nil
		})
		if err != nil {
			return err
		}
	}
	return l.dropMerged(products)
}

// parts writes entries in transactions that do not move the position.
type parts struct {
	store   Store
	entries []ledger.Entry
	bytes   int
}

func (p *parts) add(e ledger.Entry) error {
	n := len(e.Key) + len(e.Value) + rowBytes
	if p.bytes+n > ledger.TransactionBytesMax || len(p.entries) == ledger.TransactionEntriesMax {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.entries, p.bytes = append(p.entries, e), p.bytes+n
	return nil
}

func (p *parts) flush() error {
	err := p.store.WritePart(p.entries)
	p.entries, p.bytes = p.entries[:0], 0
	return err
}
