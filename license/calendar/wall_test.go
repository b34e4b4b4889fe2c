package calendar

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// R2: a local time that a clock change skips moves forward by the gap; of one that occurs twice the first counts.
func TestPeriodEndAtAChangeOfClocks(t *testing.T) {
	tests := []struct {
		why, zone, from, period string // from: local time
		want                    string // UTC
	}{
		{"the field case", "America/Halifax", "2026-11-27T02:40:59", "P107D", "2027-03-14T06:40:59"}, // 03:40:59 there
		{"the second before the gap", "America/Halifax", "2026-11-27T01:59:59", "P107D", "2027-03-14T05:59:59"},
		{"the first of the gap", "America/Halifax", "2026-11-27T02:00:00", "P107D", "2027-03-14T06:00:00"},
		{"the last of the gap", "America/Halifax", "2026-11-27T02:59:59", "P107D", "2027-03-14T06:59:59"},
		{"the second behind the gap", "America/Halifax", "2026-11-27T03:00:00", "P107D", "2027-03-14T06:00:00"},
		{
			"seconds run from where the gap put the end",
			"America/Halifax",
			"2026-11-27T02:40:59",
			"P107DT1S",
			"2027-03-14T06:41:00",
		},
		{"a gap east of Greenwich", "Europe/Berlin", "2027-02-28T02:30:00", "P1M", "2027-03-28T01:30:00"},
		{"a gap of half an hour", "Australia/Lord_Howe", "2027-09-03T02:10:00", "P1M", "2027-10-02T15:40:00"},
		{"a gap of two hours", "Antarctica/Troll", "2027-02-28T01:30:00", "P1M", "2027-03-28T01:30:00"},
		{"a gap at midnight", "America/Sao_Paulo", "2018-10-04T00:00:00", "P1M", "2018-11-04T03:00:00"},
		{"a gap at midnight", "Asia/Beirut", "2027-02-28T00:30:00", "P1M", "2027-03-27T22:30:00"},
		{"a gap at midnight", "Africa/Cairo", "2026-03-24T00:00:00", "P1M", "2026-04-23T22:00:00"},
		{"a gap at midnight", "America/Havana", "2027-02-14T00:59:59", "P1M", "2027-03-14T05:59:59"},
		{"a gap at midnight", "America/Santiago", "2026-08-06T00:15:00", "P1M", "2026-09-06T04:15:00"},
		{"a gap that ends at midnight", "America/Nuuk", "2027-02-27T23:30:00", "P1M", "2027-03-28T01:30:00"},
		{"a day that is skipped", "Pacific/Apia", "2011-11-30T12:00:00", "P1M", "2011-12-30T22:00:00"},
		{"an hour that comes twice", "America/Halifax", "2027-10-07T01:30:00", "P1M", "2027-11-07T04:30:00"},
		{"an hour that comes twice", "Europe/Berlin", "2027-09-30T02:30:00", "P31D", "2027-10-31T00:30:00"},
		{"an hour that comes twice", "Europe/Berlin", "2027-10-30T02:30:00", "P1D", "2027-10-31T00:30:00"},
		{"half an hour that comes twice", "Australia/Lord_Howe", "2027-03-04T01:45:00", "P1M", "2027-04-03T14:45:00"},
		{"midnight comes twice", "America/Havana", "2027-10-07T00:00:00", "P1M", "2027-11-07T04:00:00"},
		{"the hour before midnight comes twice", "Asia/Beirut", "2026-09-24T23:30:00", "P1M", "2026-10-24T20:30:00"},
		{"the end of the second", "Europe/Berlin", "2027-10-30T03:00:00", "P1D", "2027-10-31T02:00:00"},
		{"no clock ever changes", "+05:45", "2027-01-31T02:30:00", "P1M", "2027-03-02T20:45:00"},
		{"no clock ever changes", "-23:59", "2027-01-31T02:30:00", "P1M", "2027-03-04T02:29:00"},
	}
	for _, tt := range tests {
		t.Run(tt.zone+" "+tt.from+" "+tt.period+" "+tt.why, func(t *testing.T) {
			zone := mustZone(t, tt.zone)
			end := time.Unix(mustPeriod(t, tt.period).End(at(t, zone, tt.from).Unix(), zone), 0)
			if got := end.UTC().Format(local); got != tt.want {
				t.Errorf("ends at %s UTC, %s there; want %s UTC", got, end.In(zone).Format(local), tt.want)
			}
		})
	}
}

// The instant of a local time is what a search second by second finds, in every zone and above all where its clocks
// change.
func TestInstantOfIsTheSearched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := mustZone(t, rapid.SampledFrom(append(zones, "America/Halifax", "America/Sao_Paulo")).Draw(t, "zone"))
		wall := drawWall(t, zone)
		if got, want := instantOf(wall, zone), searchInstant(wall, zone); got != want {
			t.Fatalf("%s in %s is %s, want %s", wallText(wall), zone, time.Unix(got, 0).In(zone), time.Unix(want, 0).In(zone))
		}
	})
}

// The first instant that is not before a local time is what a search second by second finds.
func TestFirstInstantIsTheSearched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := mustZone(t, rapid.SampledFrom(append(zones, "America/Halifax", "America/Sao_Paulo")).Draw(t, "zone"))
		wall := drawWall(t, zone)
		want := wall - searchSeconds
		for ; localOf(want, zone) < wall; want++ {
		}
		if got := firstInstant(wall, zone); got != want {
			t.Fatalf(
				"%s in %s begins at %s, want %s",
				wallText(wall),
				zone,
				time.Unix(got, 0).In(zone),
				time.Unix(want, 0).In(zone),
			)
		}
	})
}

// Package time ends a stretch before the last day of a leap year: nothing goes wrong there, and nothing goes on for
// ever.
func TestLastDayOfALeapYear(t *testing.T) {
	for _, name := range zones {
		zone := mustZone(t, name)
		for year := 2036; year <= 2124; year += 4 {
			for _, day := range []int{29, 30, 31, 32} {
				wall := time.Date(year, 12, day, 23, 59, 59, 0, time.UTC).Unix()
				for _, at := range []int64{instantOf(wall, zone), firstInstant(wall, zone)} {
					if localOf(at, zone) != wall {
						t.Errorf("%s in %s is %s", wallText(wall), name, time.Unix(at, 0).In(zone))
					}
				}
				if s := stretchAt(wall, zone); s.start > wall || s.end <= wall {
					t.Errorf("%s at %s lies outside its stretch %+v", name, wallText(wall), s)
				}
			}
		}
	}
}

// drawWall draws a local time of 1970 to 2150, often close to a change of clocks, as if it were UTC.
func drawWall(t *rapid.T, zone *time.Location) int64 {
	from := rapid.Int64Range(0, time.Date(2150, 1, 1, 0, 0, 0, 0, time.UTC).Unix()).Draw(t, "from")
	_, change := time.Unix(from, 0).In(zone).ZoneBounds()
	if change.IsZero() || rapid.IntRange(0, 7).Draw(t, "anywhere") == 0 {
		return localOf(from, zone)
	}
	near := localOf(change.Unix(), zone) + rapid.Int64Range(-3, 3).Draw(t, "hours")*1800
	return near + rapid.SampledFrom([]int64{-1, 0, 1, 7, 1799}).Draw(t, "seconds")
}

func wallText(wall int64) string { return time.Unix(wall, 0).UTC().Format(local) }

// localOf returns the local time at an instant, as if it were UTC.
func localOf(at int64, zone *time.Location) int64 {
	_, offset := time.Unix(at, 0).In(zone).Zone()
	return at + int64(offset)
}

// searchSeconds is farther from UTC than any zone was since 1970.
const searchSeconds = 15 * 3600

// searchInstant is instantOf in its slowest form.
func searchInstant(wall int64, zone *time.Location) int64 {
	gap, before := int64(-1), localOf(wall-searchSeconds, zone)
	for at := wall - searchSeconds; at <= wall+searchSeconds; at++ {
		now := localOf(at, zone)
		if now == wall {
			return at
		}
		if before < wall && now > wall && gap < 0 {
			gap = at - 1 + wall - before
		}
		before = now
	}
	return gap
}

// R12: where clocks are set back over a midnight that has passed, the day that has begun is not taken back.
func TestDayThatHasBegunIsNotTakenBack(t *testing.T) {
	zone := mustZone(t, "America/St_Johns") // On 7 November 2010 at 00:01 it was 23:01 of the day before again.
	midnight := at(t, time.UTC, "2010-11-07T02:30:00")
	change := midnight.Add(time.Minute)
	a, b := change.Add(-time.Second).In(zone).Format(local), change.In(zone).Format(local)
	if a != "2010-11-07T00:00:59" || b != "2010-11-06T23:01:00" {
		t.Fatalf("the clock goes from %s to %s", a, b)
	}
	day := func(t time.Time) (start, end int64) {
		w := WindowAt(t.UnixMilli(), zone)
		return w.DayStartMs, w.DayEndMs
	}
	start, end := day(midnight)
	if start != midnight.UnixMilli() || end != start+25*3600_000 {
		t.Errorf("the day is from %d to %d", start-midnight.UnixMilli(), end-midnight.UnixMilli())
	}
	for _, later := range []time.Duration{
		time.Minute - 1, time.Minute, time.Hour, time.Hour + time.Minute,
		24 * time.Hour,
	} {
		if s, e := day(midnight.Add(later)); s != start || e != end {
			t.Errorf("%s later another day has begun", later)
		}
	}
	if _, e := day(midnight.Add(-time.Millisecond)); e != start {
		t.Error("the day before does not end where this one begins")
	}
}

func BenchmarkPeriodEnd(b *testing.B) {
	from := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).Unix()
	for _, name := range []string{"UTC", "+08:00", "Asia/Shanghai", "America/New_York"} {
		zone := mustZone(b, name)
		p := Period{Years: 5}
		b.Run(fmt.Sprintf("zone=%s", name), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.End(from, zone)
			}
		})
	}
}
