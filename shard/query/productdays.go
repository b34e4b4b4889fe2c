package query

import (
	"cmp"
	"context"
	"math"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/views"
)

// productDays reads what the devices of a product used on the days from from to to, so many devices at a time that
// memory is bounded, in the order of their ordinals.
type productDays struct {
	r        *Reader
	p        *license.Product
	from, to uint32
	atOnce   int  // devices
	named    bool // names are wanted

	devices    []deviceWords // of this time
	begin, end uint64        // their ordinals are in between
	next       counters.Ordinal
	isEnd      bool
}

// each calls fn for every time that devices were read, until ctx is over.
func (s *productDays) each(ctx context.Context, fn func() error) error {
	for s.isEnd = s.from > s.to; !s.isEnd; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.read(); err != nil {
			return err
		}
		if len(s.devices) == 0 {
			continue
		}
		// The words were first: what is not in them any more is in the ledger then, and they are durable.
		if err := s.r.engine.DurableInLedger(); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
	}
	return nil
}

// read reads the words of the next devices, which may not be durable yet.
func (s *productDays) read() error {
	s.begin, s.devices = uint64(s.next), s.devices[:0]
	for !s.isEnd && len(s.devices) < s.atOnce {
		if err := s.r.engine.Look(s.scan); err != nil {
			return err
		}
	}
	s.end = uint64(s.next)
	if s.isEnd {
		s.end = uint64(counters.OrdinalMax) + 1
	}
	return nil
}

// scan adds the words of the product's devices among the next ones of the table.
func (s *productDays) scan(v *shard.View) {
	left := deviceDaysScan
	s.isEnd = true
	v.Table.Walk(s.next, func(o counters.Ordinal, product uint32, name []byte) bool {
		s.next = o
		if left--; left < 0 {
			s.isEnd = false
			return false
		}
		if product != s.p.ID {
			return true
		}
		if slot := v.Table.SlotOf(o); slot != nil {
			d := wordsOf(slot)
			if s.named {
				d.name = string(name)
			}
			s.devices = append(s.devices, d)
		}
		return true
	})
}

// messages calls fn for the device-days of messages, day after day, each in the order of devices; i is the device's
// place in devices.
func (s *productDays) messages(ctx context.Context, fn func(i int, d DeviceDay)) error {
	for day := s.from; day <= s.to; day++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.messagesOf(day, fn); err != nil {
			return s.r.ledgerErr(err)
		}
	}
	return nil
}

func (s *productDays) messagesOf(day uint32, fn func(i int, d DeviceDay)) error {
	next := 0
	pass := func(ordinal uint64) { // Devices before ordinal have no row: their words are all there is.
		for ; next < len(s.devices) && s.devices[next].ordinal < ordinal; next++ {
			if d := s.devices[next].on(day); !d.isEmpty() {
				fn(next, d)
			}
		}
	}
	err := s.r.ledger.EachDeviceDay(s.p.ID, day, s.begin, s.end, func(row *views.DeviceDay) error {
		pass(row.Ordinal)
		if next < len(s.devices) && s.devices[next].ordinal == row.Ordinal { // Else it was bound behind the scan.
			d := s.devices[next].on(day)
			if d.join(row.Up, row.Down, row.Denied); !d.isEmpty() {
				fn(next, d)
			}
			next++
		}
		return nil
	})
	if err == nil {
		pass(math.MaxUint64)
	}
	return err
}

// ota calls fn for the units that devices used on a day, and for those given back, negative; several times for a day if
// that is what the ledger has.
func (s *productDays) ota(fn func(i int, day uint32, units int64)) error {
	for month := calendar.MonthOf(s.from); month <= calendar.MonthOf(s.to); month++ {
		var ota otaUnits
		err := s.r.eachOTADay(s.p, month, s.begin, s.end, &ota, func(ordinal uint64, day uint32, units int64) {
			if day < s.from || day > s.to {
				return
			}
			i, found := slices.BinarySearchFunc(s.devices, ordinal, func(d deviceWords, ordinal uint64) int {
				return cmp.Compare(d.ordinal, ordinal)
			})
			if found { // Else it was bound behind the scan.
				fn(i, day, units)
			}
		})
		if err != nil {
			return s.r.ledgerErr(err)
		}
	}
	return nil
}
