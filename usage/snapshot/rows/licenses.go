package rows

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage"
)

// licenses is how many licences each device consumed in the month: a byte for every number that a device may have, some
// 1.3 bytes a device.
type licenses struct {
	shards [counters.Shards][]uint8
	many   map[counters.Ordinal]uint32 // of those that are beyond a byte
}

func (l *licenses) add(o counters.Ordinal) {
	n, shard := o.Number(), &l.shards[o.Shard()]
	if n >= len(*shard) {
		grown := slices.Grow(*shard, n+1-len(*shard))
		*shard = grown[:cap(grown)]
	}
	if at := &(*shard)[n]; *at < math.MaxUint8 {
		*at++
		return
	}
	if l.many == nil {
		l.many = map[counters.Ordinal]uint32{}
	}
	l.many[o]++
}

func (l *licenses) of(o counters.Ordinal) uint32 {
	n, shard := o.Number(), l.shards[o.Shard()]
	if n >= len(shard) {
		return 0
	}
	if shard[n] == math.MaxUint8 {
		return math.MaxUint8 + l.many[o]
	}
	return uint32(shard[n])
}

// countLicenses counts the licences of the month, and compares how many there are in all with what pools gave out.
func (s *Source) countLicenses(ctx context.Context, p *product) error {
	startMs, endMs := calendar.MonthBounds(s.o.Month, p.Zone)
	b := licenseBatch{s: s}
	count := uint64(0)
	err := s.o.Ledger.EachLicense(p.ID, func(r *usage.LicenseRow) error {
		if count++; count%yieldEvery == 0 {
			runtime.Gosched()
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if ms := r.ActivatedS * 1000; ms < startMs || ms >= endMs {
			return nil
		}
		return b.add(s.o.State.KeyOf(p.ID, r.Device), r.Serial)
	})
	if err == nil {
		err = b.flush()
	}
	if err != nil {
		return err
	}
	if fromMs, err := s.o.Ledger.AvailableFromMs(); err != nil || fromMs > p.CreatedAtMs {
		return err // Those from before the gap are in no list.
	}
	return p.differs("licenses_used", "pools", p.licenses.Used, "ledger", count)
}

// licenseBatch is licences whose devices are looked up at once.
type licenseBatch struct {
	s        *Source
	n        int
	keys     [findBatch]counters.Key
	serials  [findBatch]uint64
	ordinals [findBatch]counters.Ordinal
}

func (b *licenseBatch) add(k counters.Key, serial uint64) error {
	b.keys[b.n], b.serials[b.n] = k, serial
	if b.n++; b.n == findBatch {
		return b.flush()
	}
	return nil
}

func (b *licenseBatch) flush() error {
	n := b.n
	b.n = 0
	if err := b.s.o.State.Ordinals(b.keys[:n], b.ordinals[:n]); err != nil {
		return err
	}
	for i, o := range b.ordinals[:n] {
		if o > counters.OrdinalMax {
			return fmt.Errorf("the ledger says that licence %d was consumed, by a device that the state does not know",
				b.serials[i])
		}
		b.s.licenses.add(o)
	}
	return nil
}
