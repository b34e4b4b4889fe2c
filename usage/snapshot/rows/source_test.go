package rows

import (
	"errors"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// The month of an account is final when it is over for each of its products. Without one it is when no product that may
// still be created can use anything in it: offsets go to -23:59.
func TestFinal(t *testing.T) {
	by := license.Actor{Token: "t"}
	none, _, _, err := license.New("eu-1", time.Hour).CreateAccount(by, "acme", "enterprise", "eu-1")
	if err != nil {
		t.Fatal(err)
	}
	one, _, _, err := none.CreateProduct(by, license.ProductSpec{Account: "acme", Name: "p", Zone: "+08:00"})
	if err != nil {
		t.Fatal(err)
	}
	const november2026 = 6*12 + 10
	for _, c := range []struct {
		catalogue *license.Catalogue
		at        string
		want      bool
	}{
		{none, "2026-11-27T13:00:00Z", false},
		{none, "2026-12-01T00:00:00Z", false},
		{none, "2026-12-01T23:59:00Z", false},
		{none, "2026-12-02T00:00:00Z", true},
		{one, "2026-11-27T13:00:00Z", false},
		{one, "2026-11-30T15:59:59Z", false},
		{one, "2026-11-30T16:00:00Z", true},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		s := Open(Options{
			State: State{AtMs: at.UnixMilli(), Catalogue: c.catalogue}, Account: "acme", Month: november2026,
		})
		if got := s.About().Final; got != c.want {
			t.Errorf("%d products, at %s: final is %t", len(c.catalogue.Products("acme")), c.at, got)
		}
	}
}

// ledgerWrittenFor is a ledger that lacks nothing, of which rows up to untilMs were written for a shorter retention.
type ledgerWrittenFor struct {
	Ledger
	shortest time.Duration
	untilMs  int64
}

func (l ledgerWrittenFor) AvailableFromMs() (int64, error) { return 0, nil }

func (l ledgerWrittenFor) WrittenFor(time.Duration, int64) (time.Duration, int64, error) {
	return l.shortest, l.untilMs, nil
}

// A month is refused whose rows are deleted, or will be at any moment, also if the retention is longer now than when
// they were written.
func TestMonthIsNoLongerKept(t *testing.T) {
	const november2026, days = 6*12 + 10, 24 * time.Hour
	ended := time.Date(2026, 12, 2, 0, 0, 0, 0, time.UTC) // in every time zone
	in := func(month time.Month) time.Time { return time.Date(2026, month, 20, 0, 0, 0, 0, time.UTC) }
	for _, c := range []struct {
		at                  time.Time
		retention, shortest time.Duration
		until               time.Time
		refused             bool
	}{
		{ended.Add(30*days - 1e6), 30 * days, 0, time.Time{}, false},
		{ended.Add(30 * days), 30 * days, 0, time.Time{}, true},
		{ended.Add(900 * days), 0, 0, time.Time{}, false},
		{ended.Add(30*days - 1e6), 400 * days, 30 * days, in(11), false},
		{ended.Add(30 * days), 400 * days, 30 * days, in(11), true},
		{ended.Add(30 * days), 0, 30 * days, in(12), true},
		{ended.Add(30 * days), 400 * days, 30 * days, in(10), false}, // The whole month was written since.
		{ended.Add(400 * days), 400 * days, 30 * days, in(10), true},
	} {
		s := Open(Options{
			State: State{AtMs: c.at.UnixMilli(), Catalogue: license.New("eu-1", time.Hour)}, Month: november2026,
			Ledger: ledgerWrittenFor{shortest: c.shortest, untilMs: c.until.UnixMilli()}, Retention: c.retention,
		})
		err := s.checkKept(&product{Product: &license.Product{Zone: time.UTC}})
		var p *event.Problem
		if refused := errors.As(err, &p) && p.Field == "period"; refused != c.refused || !refused && err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// A device may consume more licences in a month than a byte counts.
func TestLicensesOfADevice(t *testing.T) {
	var l licenses
	last := counters.OrdinalMax &^ (1<<31 - 1) // the first one of the last shard
	want := map[counters.Ordinal]uint32{0: 254, 3: 255, 6: 256, 3000: 700, last: 1, last + 3: 0, last + 9000: 0}
	for o, n := range want {
		for range n {
			l.add(o)
		}
	}
	for o, n := range want {
		if got := l.of(o); got != n {
			t.Errorf("device %d has %d licences, want %d", o, got, n)
		}
	}
}
