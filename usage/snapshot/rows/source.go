package rows

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
	"github.com/meterd/meterd/usage/snapshot"
)

// State is the state at the end of one group.
type State struct {
	Group uint64
	// AtMs is the last decided time, Unix milliseconds: what comes in later groups was decided then or later.
	AtMs int64
	// Catalogue is as it was then, with its pools. Nobody else changes it.
	Catalogue *license.Catalogue
	// Totals returns the totals of a product.
	Totals func(product uint32) record.BucketTotals
	// Devices calls fn with a table of the devices of one range of shards after the other, first to before end. The
	// tables are closed when fn returns.
	Devices func(ctx context.Context, fn func(t *counters.Table, first, end int) error) error
	// KeyOf returns what a device is looked up by, and Ordinals sets found[i] to the ordinal of the device of keys[i],
	// above counters.OrdinalMax if there is none. It may know devices that came later.
	KeyOf    func(product uint32, device []byte) counters.Key
	Ordinals func(keys []counters.Key, found []counters.Ordinal) error
	Close    func() error
}

// Ledger is the ledger at the same group; *usage.Instant is one. What its methods return is described at usage.Rows.
type Ledger interface {
	AvailableFromMs() (int64, error)
	WrittenFor(retention time.Duration, nowMs int64) (shortest time.Duration, untilMs int64, err error)
	Totals(product uint32) (record.BucketTotals, error)
	TotalsBeforeDay(product, day uint32) (sum record.Totals, from uint32, err error)
	EachDeviceDay(product, day uint32, from, to uint64, fn func(*views.DeviceDay) error) error
	EachOTA(product, month uint32, from, to uint64, fn func(*views.OTADay) error) error
	EachLateVoid(product, month uint32, from, to uint64, fn func(*views.LateVoid) error) error
	EachLicense(product uint32, fn func(*usage.LicenseRow) error) error
	NextDay(product, from uint32) (day uint32, found bool, err error)
	Close() error
}

// Options is what a Source reads. State and Ledger are the source's from now on; Close closes them.
type Options struct {
	State     State
	Ledger    Ledger
	Account   string        // its products alone; empty: all
	Month     uint32        // counted from January 2020
	Retention time.Duration // of the ledger's usage, 0: for ever
}

// Source implements snapshot.Source.
type Source struct {
	o        Options
	about    snapshot.About
	products []*product // in the scope, by name
	places   []int32    // by the product's number, its place in products, -1 outside the scope
	licenses licenses
}

var _ snapshot.Source = (*Source)(nil)

// Open returns a source. Nothing is read before Devices is called.
func Open(o Options) *Source {
	s := &Source{o: o, about: snapshot.About{
		Account: o.Account, Month: o.Month, Group: o.State.Group, AsOfMs: o.State.AtMs,
		Final: isOver(&o),
	}}
	s.places = make([]int32, o.State.Catalogue.ProductIDMax()+1)
	for i := range s.places {
		s.places[i] = -1
	}
	for i, p := range o.State.Catalogue.Products(o.Account) {
		s.products = append(s.products, &product{Product: p})
		s.places[p.ID] = int32(i)
	}
	return s
}

// isOver reports whether the month is over for every product of the scope. Without one it is over when it is in every
// time zone: a product that is created until then may still use something in it.
func isOver(o *Options) bool {
	list := o.State.Catalogue.Products(o.Account)
	for _, p := range list {
		if _, endMs := calendar.MonthBounds(o.Month, p.Zone); o.State.AtMs < endMs {
			return false
		}
	}
	return len(list) > 0 || o.State.AtMs >= calendar.DayEndedMs(calendar.FirstDay(o.Month+1)-1)
}

// About implements snapshot.Source. Rows is known when Devices has returned.
func (s *Source) About() snapshot.About { return s.about }

// Devices implements snapshot.Source. Rows come range by range, within a range by product and then as devices were
// first seen: two sources of the same state give the same rows.
func (s *Source) Devices(ctx context.Context, fn func(*snapshot.Row) error) error {
	for _, p := range s.products {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.prepare(ctx, p); err != nil {
			return fmt.Errorf("product %q: %w", p.Name, err)
		}
	}
	part := part{s: s}
	err := s.o.State.Devices(ctx, func(t *counters.Table, first, end int) error {
		if err := part.gather(ctx, t, first, end); err != nil {
			return err
		}
		return part.each(ctx, fn)
	})
	if err != nil {
		return err
	}
	for _, p := range s.products {
		s.about.Rows += p.rows
		if err := p.compareRows(); err != nil {
			return err
		}
	}
	return nil
}

// Products implements snapshot.Source.
func (s *Source) Products(ctx context.Context, fn func(*snapshot.ProductRow) error) error {
	for _, p := range s.products {
		if err := ctx.Err(); err != nil {
			return err
		}
		row := snapshot.ProductRow{
			Product: p.Name, Account: p.Account, DevicesActive: p.active, Licenses: p.licenses, Plan: p.Plan,
			PlanSinceMs: p.PlanSinceMs, Usage: p.usage,
		}
		if err := fn(&row); err != nil {
			return err
		}
	}
	return nil
}

// Close implements snapshot.Source.
func (s *Source) Close() error { return errors.Join(s.o.Ledger.Close(), s.o.State.Close()) }
