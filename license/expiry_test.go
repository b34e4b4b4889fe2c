package license

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/meterd/meterd/license/calendar"
)

// R9: the end of a licence is counted anew from its activation by every upgrade that finds it running, and by no other.
func TestExpiry(t *testing.T) {
	const hour = int64(3600)
	tests := []struct {
		why        string
		steps      []ValidityStep
		activation int64
		want       int64
	}{
		{"the first plan", steps(0, "PT1H"), 100, 100 + hour},
		{"before there was a plan", steps(1000, "PT1H"), 100, 100 + hour},
		{"an upgrade while it runs", steps(0, "PT1H", 1000, "PT2H"), 100, 100 + 2*hour},
		{"an upgrade in its last second", steps(0, "PT1H", 99+hour, "PT2H"), 100, 100 + 2*hour},
		{"an upgrade at its end", steps(0, "PT1H", 100+hour, "PT2H"), 100, 100 + hour},
		{"an upgrade after its end", steps(0, "PT1H", 101+hour, "PT2H"), 100, 100 + hour},
		{"consumed after the upgrade", steps(0, "PT1H", 50, "PT2H"), 100, 100 + 2*hour},
		{"consumed in the second of the upgrade", steps(0, "PT1H", 100, "PT2H"), 100, 100 + 2*hour},
		{"two upgrades while it runs", steps(0, "PT1H", 1000, "PT2H", 2000, "PT3H"), 100, 100 + 3*hour},
		{"the second finds it running because of the first", steps(0, "PT1H", 1000, "PT2H", 5000, "PT3H"), 100, 100 + 3*hour},
		{"it ended between two upgrades", steps(0, "PT1H", 1000, "PT2H", 100+2*hour, "PT3H"), 100, 100 + 2*hour},
		{"it ended before both", steps(0, "PT1H", 4000, "PT2H", 5000, "PT3H"), 100, 100 + hour},
		{"made shorter before the first lot, still running", steps(0, "PT2H", 1000, "PT1H"), 100, 100 + hour},
		{"made shorter, its end lies in the past", steps(0, "PT2H", 2000, "PT10M"), 100, 100 + 600},
		{"what ended by that stays ended", steps(0, "PT2H", 2000, "PT10M", 2001, "PT3H"), 100, 100 + 600},
		{"consumed between two upgrades", steps(0, "PT1H", 1000, "PT2H", 2000, "PT3H"), 1500, 1500 + 3*hour},
	}
	for _, tt := range tests {
		p := &Product{Zone: time.UTC, Validities: tt.steps}
		if got := p.ExpiryS(tt.activation); got != tt.want {
			t.Errorf("%s: ends at %d, want %d", tt.why, got, tt.want)
		}
	}
}

// R2: by the calendar of the product's own zone.
func TestExpiryByTheCalendar(t *testing.T) {
	zone := mustZone(t, "Asia/Shanghai")
	p := &Product{Zone: zone, Validities: steps(0, "P1M", at(t, zone, "2027-02-10T00:00:00").Unix(), "P5Y")}
	from := at(t, zone, "2027-01-31T00:00:00")
	if got := time.Unix(p.ExpiryS(from.Unix()), 0).In(zone).Format(local); got != "2032-01-31T00:00:00" {
		t.Errorf("upgraded while it ran: ends at %s", got)
	}
	early := at(t, zone, "2027-01-09T00:00:00")
	if got := time.Unix(p.ExpiryS(early.Unix()), 0).In(zone).Format(local); got != "2027-02-09T00:00:00" {
		t.Errorf("ended the day before: ends at %s", got)
	}
}

// Whoever follows a licence from upgrade to upgrade as time goes by sees what the fold computes at the end.
func TestExpiryIsWhatOneSawHappen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &Product{Zone: time.UTC}
		now := int64(1_800_000_000)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			p.Validities = append(
				p.Validities,
				ValidityStep{FromS: now, Validity: calendar.Period{Seconds: rapid.Int64Range(1, 100).Draw(t, "validity")}},
			)
			now += rapid.Int64Range(0, 60).Draw(t, "later")
		}
		activation := rapid.Int64Range(p.Validities[0].FromS, now).Draw(t, "activation")

		seen := &Product{Zone: time.UTC}
		var end int64
		for _, step := range p.Validities {
			if step.FromS > activation && end == 0 {
				end = seen.Validities[len(seen.Validities)-1].Validity.End(activation, time.UTC)
			}
			seen.Validities = append(seen.Validities, step)
			if step.FromS > activation && end > step.FromS {
				end = step.Validity.End(activation, time.UTC)
			}
		}
		if end == 0 {
			end = seen.Validities[len(seen.Validities)-1].Validity.End(activation, time.UTC)
		}
		if got := p.ExpiryS(activation); got != end {
			t.Fatalf("computed %d, seen %d: %+v from %d", got, end, p.Validities, activation)
		}
	})
}

func steps(fromAndValidity ...any) (list []ValidityStep) {
	for i := 0; i < len(fromAndValidity); i += 2 {
		var from int64
		switch v := fromAndValidity[i].(type) {
		case int:
			from = int64(v)
		case int64:
			from = v
		}
		var p calendar.Period
		if err := p.UnmarshalText([]byte(fromAndValidity[i+1].(string))); err != nil {
			panic(err)
		}
		list = append(list, ValidityStep{FromS: from, Validity: p})
	}
	return list
}

// A product's window is computed once a day and is the same as computed anew.
func TestProductWindow(t *testing.T) {
	p := &Product{Zone: mustZone(t, "Europe/Berlin"), State: &ProductState{}}
	from := at(t, time.UTC, "2027-03-27T00:00:00").UnixMilli()
	computed := 0
	var last *calendar.Window
	for ms := from; ms < from+3*86_400_000; ms += 10 * 60_000 {
		w := p.Window(ms)
		if *w != calendar.WindowAt(ms, p.Zone) {
			t.Fatalf("at %d: %+v", ms, *w)
		}
		if w != last {
			last, computed = w, computed+1
		}
	}
	if computed != 4 {
		t.Errorf("computed %d times in 4 days", computed)
	}
	if n := testing.AllocsPerRun(100, func() { p.Window(last.DayStartMs) }); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// local is how tests write local times.
const local = "2006-01-02T15:04:05"

func at(t fataler, zone *time.Location, s string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation(local, s, zone)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return at
}

func mustZone(t fataler, name string) *time.Location {
	t.Helper()
	zone, err := calendar.ParseZone(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return zone
}
