package query

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/record"
)

// rowsOf reads usage to its end.
func (d *daemon) rowsOf(q UsageQuery) (rows []UsageRow, availableFromMs int64, err error) {
	u, err := d.Usage(q)
	for more := err == nil; more; {
		rows, more, err = u.Next(rows)
	}
	if err != nil {
		return nil, 0, err
	}
	return rows, u.AvailableFromMs(), nil
}

// Windows follow each other, fill the time that is asked for up to the end of the running one, and lie within one hour,
// day or month each.
func TestUsageWindows(t *testing.T) {
	names := []string{"UTC", "+05:30", "-09:45", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := calendar.ParseZone(rapid.SampledFrom(names).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		q := UsageQuery{
			Span: rapid.SampledFrom([]calendar.Span{calendar.Hour, calendar.Day, calendar.Month}).Draw(t, "span"), Zone: zone,
			NowMs: testStart.UnixMilli() + rapid.Int64Range(-40*86_400_000, 400*86_400_000).Draw(t, "now"),
		}
		from := (q.NowMs/record.QuarterMs - rapid.Int64Range(-100, 4000).Draw(t, "from")) * record.QuarterMs
		to := from + rapid.Int64Range(-10, 4000).Draw(t, "to")*record.QuarterMs
		running := q.Span.EndMs(q.NowMs, zone)
		var u Usage
		if err := u.divide(from, to, &q); err != nil {
			t.Fatal(err)
		}
		if u.at[0] != from || u.at[len(u.at)-1] != max(from, min(to, running)) {
			t.Fatalf("from %d to %d: it begins at %d and ends at %d", from, to, u.at[0], u.at[len(u.at)-1])
		}
		for i := range len(u.at) - 1 {
			if end := q.Span.EndMs(u.at[i], zone); u.at[i+1] <= u.at[i] || u.at[i+1] > end ||
				(u.at[i+1] < end && i < len(u.at)-2) {
				t.Fatalf("window %d of %d is from %d to %d, its end is %d", i, len(u.at)-1, u.at[i], u.at[i+1], end)
			}
		}
	})
}

// A row runs until its own end, which may come before that of the window.
func TestUsageRuns(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 1)
	d.submit(line("connect", "p", "d"))
	at := d.engine.NowMs() - floorMod(d.engine.NowMs(), record.QuarterMs)
	for _, c := range []struct {
		ms, nowMs int64 // from at
		runs      bool
	}{
		{record.QuarterMs, record.QuarterMs - 1, true},
		{record.QuarterMs, record.QuarterMs, false},
		{record.QuarterMs, record.QuarterMs + 240_000, false},
		{record.QuarterMs + 1, record.QuarterMs + 240_000, true},
		{2 * record.QuarterMs, record.QuarterMs + 240_000, true},
	} {
		rows, _, err := d.rowsOf(UsageQuery{
			Products: []*license.Product{d.productOf("p")}, Span: calendar.Month, Zone: time.UTC, NowMs: at + c.nowMs,
			FromMs: at, ToMs: at + c.ms,
		})
		d.must(err)
		if len(rows) != 1 || rows[0].Running != c.runs {
			t.Errorf("%d ms, after %d: %+v", c.ms, c.nowMs, rows)
		}
	}
}

// What was used before the time for which usage is kept is not told, and does not count in what is; also of a product
// that was not used for long.
func TestUsageBeginsWhereItIsKept(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 10)
	d.usageRetention = 40 * 24 * time.Hour
	up := func(n int) { d.submit(strings.Repeat(line("up", "p", "d"), n)) }
	d.submit(line("connect", "p", "d"))
	up(1)                             // on 23 November
	d.clock.pass(30 * 24 * time.Hour) // to 23 December
	up(20)
	d.clock.pass(40 * 24 * time.Hour) // to 1 February
	up(300)
	at := func(text string) int64 {
		ms, err := time.Parse(time.RFC3339, text)
		d.must(err)
		return ms.UnixMilli()
	}
	q := UsageQuery{
		Products: []*license.Product{d.productOf("p")}, Span: calendar.Month, Zone: time.UTC, NowMs: d.engine.NowMs(),
		FromMs: at("2026-01-01T00:00:00Z"), ToMs: at("2028-01-01T00:00:00Z"),
	}
	rows, from, err := d.rowsOf(q)
	d.must(err)
	var got []string
	for _, r := range rows {
		got = append(got, fmt.Sprint(
			time.UnixMilli(r.FromMs).UTC().Format(time.DateOnly), " ", r.MessagesUp, " ", r.LicensesConsumed, " ", r.Running,
		))
	}
	if want := []string{"2026-12-01 20 0 false", "2027-02-01 300 0 true"}; !reflect.DeepEqual(got, want) ||
		from != at("2026-12-01T00:00:00Z") {
		t.Errorf("%q from %d, want %q", got, from, want)
	}
	d.usageRetention = 0
	if rows, from, err = d.rowsOf(q); err != nil || len(rows) != 3 || from != 0 {
		t.Errorf("%d rows from %d, %v", len(rows), from, err)
	}
}

// A ledger that cannot be read fails the request alone, also in its midst.
func TestUsageWithoutALedger(t *testing.T) {
	d := newDaemon(t)
	d.product("p", `{}`, 1)
	q := UsageQuery{
		Products: []*license.Product{d.productOf("p")}, Span: calendar.Day, Zone: time.UTC, NowMs: d.engine.NowMs(),
		FromMs: testStart.UnixMilli(), ToMs: testStart.UnixMilli() + 1,
	}
	u, err := d.Usage(q)
	d.must(err)
	d.ledger.err = errors.New("the disk is on fire")
	if _, _, err := u.Next(nil); !errors.Is(err, shard.ErrLedgerLags) {
		t.Errorf("%v", err)
	}
	d.ledger.err = nil
	zone, err := calendar.ParseZone("+05:17")
	d.must(err)
	q.Zone = zone
	if _, err := d.Usage(q); !errors.Is(err, ErrZoneOffset) {
		t.Errorf("+05:17: %v", err)
	}
}
