package query

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
)

// Usage of days is kept for whole months of the product's calendar, and begins behind the day on which a ledger with a
// gap begins; of the running day nothing is ever missing.
func TestUsageDayKept(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 1)
	kept := func(want string) {
		t.Helper()
		day, err := d.UsageDayKept(d.productOf("p"))
		if err != nil || calendar.DayName(day) != want {
			t.Errorf("kept from %s, want %s; %v", calendar.DayName(day), want, err)
		}
	}
	kept("2020-01-01")
	d.usageRetention = 87_600 * time.Hour // It reaches back before the first day that has a number.
	kept("2020-01-01")
	if ms, err := d.usageKeptMs(testStart.UnixMilli()); err != nil || ms != counters.EpochS*1000 {
		t.Errorf("kept from %d, %v", ms, err)
	}
	d.usageRetention = 28 * 24 * time.Hour
	kept("2026-10-01") // 28 days before 23 November are in October.
	d.clock.pass(10 * 24 * time.Hour)
	kept("2026-11-01")
	to := d.ledger.Position()
	to.Seq++
	d.must(d.ledger.Skip(to, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC).UnixMilli()))
	kept("2026-11-29")
	to.Seq++
	d.must(d.ledger.Skip(to, time.Date(2026, 12, 3, 9, 0, 0, 0, time.UTC).UnixMilli()))
	kept("2026-12-03")
}

// A longer retention does not bring back what was written for a shorter one: months that are deleted by then are told
// as not kept, and not as unused.
func TestUsageWrittenForLess(t *testing.T) {
	d := newDaemon(t)
	const days = 24 * time.Hour
	reopen := func(retention time.Duration) {
		t.Helper()
		d.kept = retention
		d.restart()
	}
	kept := func(want string) {
		t.Helper()
		nowMs := d.engine.NowMs()
		day, err := d.UsageDayKept(d.productOf("p"))
		d.must(err)
		ms, err := d.usageKeptMs(nowMs)
		if err != nil || calendar.DayName(day) != want || time.UnixMilli(ms).UTC().Format(time.DateOnly) != want {
			t.Errorf("at %s kept from %s and %d, want %s; %v", time.UnixMilli(nowMs), calendar.DayName(day), ms, want, err)
		}
	}
	use := func() {
		t.Helper()
		d.submit(line("connect", "p", "d") + line("up", "p", "d"))
		d.must(d.engine.DurableInLedger())
	}
	reopen(28 * days)
	d.product("p", `{}`, 1)
	use()
	d.clock.pass(40 * days) // to 2 January
	use()
	kept("2026-12-01")
	reopen(400 * days)
	kept("2026-12-01")
	use()
	kept("2026-12-01")
	d.clock.pass(60 * days) // to 3 March
	kept("2027-02-01")
	use()
	reopen(400 * days)
	d.clock.pass(60 * days) // to 2 May
	kept("2027-02-01")      // What was written since is kept.
	reopen(28 * days)
	kept("2027-04-01")
	use()
	reopen(400 * days)
	kept("2027-04-01")
	use()
	rows, from, err := d.rowsOf(UsageQuery{
		Products: []*license.Product{d.productOf("p")}, Span: calendar.Month, Zone: time.UTC, NowMs: d.engine.NowMs(),
		FromMs: testStart.UnixMilli(), ToMs: d.engine.NowMs() + 1,
	})
	if err != nil || len(rows) != 1 || from != time.Date(2027, 4, 1, 0, 0, 0, 0, time.UTC).UnixMilli() {
		t.Errorf("%+v from %d, %v", rows, from, err)
	}
}

// However many devices a product has beside others', each day of each is told once, in one order, with what is closed
// and what is not; a reader that has enough, and one whose ledger cannot be read, is told no more.
func TestEachDeviceDay(t *testing.T) {
	d := newDaemon(t)
	const devices = 300
	d.product("p", `{}`, devices)
	d.product("q", `{}`, devices)
	want := map[string]int{}
	for round := range 3 {
		var b strings.Builder
		for i := range devices {
			for _, product := range []string{"p", "q"} {
				name := fmt.Sprint("d", i)
				b.WriteString(line("connect", product, name))
				if i%(round+2) == 0 {
					b.WriteString(line("up", product, name))
					if product == "p" {
						want[fmt.Sprint(name, " ", 23+round)]++
					}
				}
			}
		}
		d.submit(b.String())
		if round < 2 {
			d.clock.pass(24 * time.Hour)
		}
	}
	p := d.productOf("p")
	from, to := calendar.FirstDay(82), calendar.FirstDay(83)-1
	got, order := map[string]int{}, []string{}
	d.must(d.EachDeviceDay(context.Background(), p, from, to, func(device string, days []DeviceDay) error {
		order = append(order, device)
		for _, day := range days {
			got[fmt.Sprint(device, " ", calendar.DayName(day.Day)[8:])] += int(day.Up)
			if day.Down|uint32(day.Denied) != 0 || day.OTAUnits != 0 {
				t.Errorf("%s used %+v", device, day)
			}
		}
		return nil
	}))
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if slices.Sort(order); len(slices.Compact(slices.Clone(order))) != len(order) {
		t.Error("a device was told of twice")
	}
	enough := errors.New("enough")
	told := 0
	err := d.EachDeviceDay(context.Background(), p, from, to, func(string, []DeviceDay) error { told++; return enough })
	if told != 1 || !errors.Is(err, enough) {
		t.Errorf("told of %d devices, %v", told, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.EachDeviceDay(ctx, p, from, to, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	d.ledger.err = errors.New("damaged")
	if err := d.EachDeviceDay(context.Background(), p, from, to, nil); !errors.Is(err, shard.ErrLedgerLags) {
		t.Error(err)
	}
	if _, _, err := d.DeviceDays(p, []byte("d0"), from, to); !errors.Is(err, shard.ErrLedgerLags) {
		t.Error(err)
	}
}
