package calendar

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// zones are those whose calendars are hard: midnights that do not exist or exist twice, half hours, the edges of the
// world.
var zones = []string{
	"UTC",
	"+14:00",
	"-12:00",
	"+05:45",
	"-00:30",
	"Europe/Berlin",
	"America/New_York",
	"Asia/Shanghai",
	"Africa/Cairo",
	"Asia/Beirut",
	"America/Havana",
	"Atlantic/Azores",
	"America/Santiago",
	"America/Asuncion",
	"Asia/Tehran",
	"Asia/Gaza",
	"Asia/Amman",
	"Asia/Damascus",
	"America/Nuuk",
	"America/Scoresbysund",
	"America/St_Johns",
	"Australia/Lord_Howe",
	"Pacific/Apia",
	"Pacific/Kiritimati",
	"Pacific/Chatham",
	"Antarctica/Troll",
	"Antarctica/Casey",
	"Antarctica/Vostok",
	"Africa/Casablanca",
	"Africa/Juba",
	"Asia/Almaty",
	"Asia/Kathmandu",
	"Etc/GMT+12",
}

func TestParseZone(t *testing.T) {
	tests := []struct {
		name   string
		offset time.Duration // in January 2027
	}{
		{"UTC", 0},
		{"Asia/Shanghai", 8 * time.Hour},
		{"Europe/Berlin", time.Hour},
		{"America/New_York", -5 * time.Hour},
		{"Asia/Kathmandu", 5*time.Hour + 45*time.Minute},
		{"America/Argentina/Buenos_Aires", -3 * time.Hour},
		{"Etc/GMT+12", -12 * time.Hour},
		{"Pacific/Kiritimati", 14 * time.Hour},
		{"+00:00", 0},
		{"-00:00", 0},
		{"+08:00", 8 * time.Hour},
		{"-03:30", -3*time.Hour - 30*time.Minute},
		{"+14:00", 14 * time.Hour},
		{"-12:00", -12 * time.Hour},
		{"+23:59", 23*time.Hour + 59*time.Minute},
	}
	for _, tt := range tests {
		zone, err := ParseZone(tt.name)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		_, offset := time.Date(2027, 1, 15, 12, 0, 0, 0, time.UTC).In(zone).Zone()
		if got := time.Duration(offset) * time.Second; got != tt.offset {
			t.Errorf("%s is %s ahead of UTC, want %s", tt.name, got, tt.offset)
		}
		if zone.String() != tt.name {
			t.Errorf("%s is called %s", tt.name, zone)
		}
	}
}

func TestParseZoneRefuses(t *testing.T) {
	for _, name := range []string{
		"", "Local", "Europe/Atlantis", "Mars", "Europe/", "/Europe/Berlin", "../etc/passwd", "Europe/../UTC",
		"Europe\\Berlin", "Asia", "zone.tab",
		"+", "-", "+8", "+08", "+8:00", "+0800", "+08:0", "+08:000", "08:00", "+08:00 ", " +08:00", "++08:00", "+-8:00",
		"+08-00", "+aa:bb", "+08:00Z", "Z",
		"−08:00", // a minus sign that is none
	} {
		if zone, err := ParseZone(name); err == nil {
			t.Errorf("%q was taken for %s", name, zone)
		}
	}
}

// ±HH:MM ends at 23:59.
func TestParseZoneRefusesOffsetsThatAreNoTime(t *testing.T) {
	for _, name := range []string{"+24:00", "-24:00", "+08:60", "-08:60", "+24:60", "+25:00", "+99:99"} {
		if zone, err := ParseZone(name); err == nil {
			t.Errorf("%q was taken for %s", name, zone)
		}
	}
}

// The running day in calendars that change at midnight: its first and last instant, and its length.
func TestWindowDay(t *testing.T) {
	tests := []struct {
		why, zone, at string // at: an instant of the day, UTC
		day           string
		start         string // UTC
		length        time.Duration
	}{
		{"a plain day", "UTC", "2026-11-23T12:00:00", "2026-11-23", "2026-11-23T00:00:00", 24 * time.Hour},
		{"its first millisecond", "UTC", "2026-11-23T00:00:00", "2026-11-23", "2026-11-23T00:00:00", 24 * time.Hour},
		{"its last second", "UTC", "2026-11-23T23:59:59", "2026-11-23", "2026-11-23T00:00:00", 24 * time.Hour},
		{"the first day that is counted", "UTC", "2020-01-01T00:00:00", "2020-01-01", "2020-01-01T00:00:00", 24 * time.Hour},
		{"another day there", "Asia/Shanghai", "2026-11-22T16:00:00", "2026-11-23", "2026-11-22T16:00:00", 24 * time.Hour},
		{"a leap day", "UTC", "2028-02-29T10:00:00", "2028-02-29", "2028-02-29T00:00:00", 24 * time.Hour},
		{"an hour is missing", "Europe/Berlin", "2027-03-28T10:00:00", "2027-03-28", "2027-03-27T23:00:00", 23 * time.Hour},
		{"an hour comes twice", "Europe/Berlin", "2027-10-31T10:00:00", "2027-10-31", "2027-10-30T22:00:00", 25 * time.Hour},
		{
			"an hour is missing",
			"America/New_York",
			"2027-03-14T12:00:00",
			"2027-03-14",
			"2027-03-14T05:00:00",
			23 * time.Hour,
		},
		{
			"an hour comes twice",
			"America/New_York",
			"2027-11-07T12:00:00",
			"2027-11-07",
			"2027-11-07T04:00:00",
			25 * time.Hour,
		},
		{
			"half an hour is missing",
			"Australia/Lord_Howe",
			"2027-10-03T00:00:00",
			"2027-10-03",
			"2027-10-02T13:30:00",
			23*time.Hour + 30*time.Minute,
		},
		{
			"midnight does not exist",
			"Africa/Cairo",
			"2026-04-24T10:00:00",
			"2026-04-24",
			"2026-04-23T22:00:00",
			23 * time.Hour,
		},
		{
			"midnight does not exist",
			"Asia/Beirut",
			"2026-03-29T10:00:00",
			"2026-03-29",
			"2026-03-28T22:00:00",
			23 * time.Hour,
		},
		{
			"the day before has its last hour twice",
			"Asia/Beirut",
			"2026-10-24T10:00:00",
			"2026-10-24",
			"2026-10-23T21:00:00",
			25 * time.Hour,
		},
		{
			"midnight does not exist",
			"America/Santiago",
			"2026-09-06T12:00:00",
			"2026-09-06",
			"2026-09-06T04:00:00",
			23 * time.Hour,
		},
		{
			"midnight comes twice",
			"America/Havana",
			"2026-11-01T12:00:00",
			"2026-11-01",
			"2026-11-01T04:00:00",
			25 * time.Hour,
		},
		{
			"midnight does not exist",
			"America/Havana",
			"2026-03-08T12:00:00",
			"2026-03-08",
			"2026-03-08T05:00:00",
			23 * time.Hour,
		},
		{
			"midnight comes twice",
			"Atlantic/Azores",
			"2026-10-25T12:00:00",
			"2026-10-25",
			"2026-10-25T00:00:00",
			25 * time.Hour,
		},
		{
			"midnight does not exist",
			"Atlantic/Azores",
			"2026-03-29T12:00:00",
			"2026-03-29",
			"2026-03-29T01:00:00",
			23 * time.Hour,
		},
		{"the first to see the day", "+14:00", "2026-11-22T10:00:00", "2026-11-23", "2026-11-22T10:00:00", 24 * time.Hour},
		{"the last to see the day", "-12:00", "2026-11-24T11:59:59", "2026-11-23", "2026-11-23T12:00:00", 24 * time.Hour},
		{"the date line", "Pacific/Apia", "2026-11-22T11:00:00", "2026-11-23", "2026-11-22T11:00:00", 24 * time.Hour},
		{
			"an offset of three hours ends at midnight",
			"Antarctica/Casey",
			"2021-03-13T12:00:00",
			"2021-03-13",
			"2021-03-12T13:00:00",
			27 * time.Hour,
		},
	}
	for _, tt := range tests {
		t.Run(tt.zone+" "+tt.day+" "+tt.why, func(t *testing.T) {
			zone, ms := mustZone(t, tt.zone), at(t, time.UTC, tt.at).UnixMilli()
			w := WindowAt(ms, zone)
			if got := DayName(w.Day); got != tt.day {
				t.Errorf("the day is %s, want %s", got, tt.day)
			}
			start := time.UnixMilli(w.DayStartMs).UTC().Format(local)
			if length := time.Duration(w.DayEndMs-w.DayStartMs) * time.Millisecond; start != tt.start || length != tt.length {
				t.Errorf("it begins at %s UTC and has %s, want %s and %s", start, length, tt.start, tt.length)
			}
		})
	}
}

// Days before 2020 have no number, but their edges are instants all the same: this midnight did not exist.
func TestWindowEdgesOfASkippedMidnight(t *testing.T) {
	zone := mustZone(t, "America/Sao_Paulo")
	w := WindowAt(at(t, time.UTC, "2018-11-04T12:00:00").UnixMilli(), zone)
	if got := time.UnixMilli(w.DayStartMs).In(zone).Format(local); got != "2018-11-04T01:00:00" {
		t.Errorf("the day begins at %s", got)
	}
	if got := w.DayEndMs - w.DayStartMs; got != 23*3600_000 {
		t.Errorf("it has %d ms", got)
	}
}

// 30 December 2011 does not exist in Samoa: the day before it ends where 31 December begins.
func TestWindowOfASkippedDay(t *testing.T) {
	zone := mustZone(t, "Pacific/Apia")
	before := WindowAt(at(t, time.UTC, "2011-12-30T09:59:59").UnixMilli(), zone)
	after := WindowAt(at(t, time.UTC, "2011-12-30T10:00:00").UnixMilli(), zone)
	if before.DayEndMs != after.DayStartMs {
		t.Errorf("29 December ends at %d, 31 December begins at %d", before.DayEndMs, after.DayStartMs)
	}
	if got := time.UnixMilli(after.DayStartMs).In(zone).Format(local); got != "2011-12-31T00:00:00" {
		t.Errorf("31 December begins at %s", got)
	}
}

func TestWindowMonth(t *testing.T) {
	tests := []struct{ zone, at, month, start, end string }{
		{"UTC", "2026-11-23T12:00:00", "2026-11", "2026-11-01T00:00:00", "2026-12-01T00:00:00"},
		{"UTC", "2026-12-31T23:59:59", "2026-12", "2026-12-01T00:00:00", "2027-01-01T00:00:00"},
		{"UTC", "2028-02-29T00:00:00", "2028-02", "2028-02-01T00:00:00", "2028-03-01T00:00:00"},
		{"Asia/Shanghai", "2026-10-31T16:00:00", "2026-11", "2026-10-31T16:00:00", "2026-11-30T16:00:00"},
		{"Europe/Berlin", "2027-03-31T21:59:59", "2027-03", "2027-02-28T23:00:00", "2027-03-31T22:00:00"},
		{"+14:00", "2026-10-31T10:00:00", "2026-11", "2026-10-31T10:00:00", "2026-11-30T10:00:00"},
		{"-12:00", "2026-12-01T11:59:59", "2026-11", "2026-11-01T12:00:00", "2026-12-01T12:00:00"},
		{"Atlantic/Azores", "2026-10-15T00:00:00", "2026-10", "2026-10-01T00:00:00", "2026-11-01T01:00:00"},
	}
	for _, tt := range tests {
		w := WindowAt(at(t, time.UTC, tt.at).UnixMilli(), mustZone(t, tt.zone))
		start, end := time.UnixMilli(w.MonthStartMs).UTC().Format(local), time.UnixMilli(w.MonthEndMs).UTC().Format(local)
		if MonthName(w.Month) != tt.month || start != tt.start || end != tt.end {
			t.Errorf(
				"%s at %s: %s from %s to %s, want %s from %s to %s",
				tt.zone,
				tt.at,
				MonthName(w.Month),
				start,
				end,
				tt.month,
				tt.start,
				tt.end,
			)
		}
	}
}

// The law of windows, in every zone and above all where its clocks change: an instant lies in its own window, windows
// tile time, and their numbers only rise (R12).
func TestWindowsTileTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := mustZone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		ms := drawInstantMs(t, zone)
		w := WindowAt(ms, zone)
		if ms < w.DayStartMs || ms >= w.DayEndMs || ms < w.MonthStartMs || ms >= w.MonthEndMs {
			t.Fatalf("%s lies outside its window %+v", time.UnixMilli(ms).In(zone), w)
		}
		if w.DayStartMs < w.MonthStartMs || w.DayEndMs > w.MonthEndMs {
			t.Fatalf("the day of %+v is not within its month", w)
		}
		if name := time.UnixMilli(ms).
			In(zone).
			Format("2006-01-02"); DayName(w.Day) != name ||
			MonthName(w.Month) != name[:7] {
			t.Fatalf("%s has the day %s and the month %s", name, DayName(w.Day), MonthName(w.Month))
		}
		within := rapid.Int64Range(w.DayStartMs, w.DayEndMs-1).Draw(t, "inside")
		for _, inside := range []int64{w.DayStartMs, w.DayEndMs - 1, within} {
			if same := WindowAt(inside, zone); same != w {
				t.Fatalf("%+v and %+v are one day", w, same)
			}
		}
		next, before := WindowAt(w.DayEndMs, zone), WindowAt(w.DayStartMs-1, zone)
		if next.DayStartMs != w.DayEndMs || before.DayEndMs != w.DayStartMs {
			t.Fatalf("a gap or an overlap: %+v, %+v, %+v", before, w, next)
		}
		if next.Day <= w.Day || before.Day >= w.Day || next.Month < w.Month || before.Month > w.Month {
			t.Fatalf("numbers do not rise: %+v, %+v, %+v", before, w, next)
		}
		if month := WindowAt(w.MonthEndMs, zone); month.Month != w.Month+1 || month.MonthStartMs != w.MonthEndMs {
			t.Fatalf("months do not tile: %+v, %+v", w, month)
		}
	})
}

// drawInstantMs draws an instant of 2020 to 2060, often close to where the zone's clocks change.
func drawInstantMs(t *rapid.T, zone *time.Location) int64 {
	first, last := time.Date(2020, 1, 3, 0, 0, 0, 0, time.UTC).
		UnixMilli(),
		time.Date(2060, 1, 1, 0, 0, 0, 0, time.UTC).
			UnixMilli()
	ms := rapid.Int64Range(first, last).Draw(t, "ms")
	if !rapid.Bool().Draw(t, "near a change of clocks") {
		return ms
	}
	_, change := time.UnixMilli(ms).In(zone).ZoneBounds()
	if change.IsZero() {
		return ms
	}
	return change.UnixMilli() + rapid.Int64Range(-30*3600_000, 30*3600_000).Draw(t, "off")
}
