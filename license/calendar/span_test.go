package calendar

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := ParseZone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

// Windows meet where people expect it, also when clocks are set forward and back.
func TestSpanEnd(t *testing.T) {
	for _, tt := range []struct {
		why, zone string
		span      Span
		at, ends  string
	}{
		{"an hour", "UTC", Hour, "2026-11-23T10:00:00Z", "2026-11-23T11:00:00Z"},
		{"the last moment of an hour", "UTC", Hour, "2026-11-23T10:59:59Z", "2026-11-23T11:00:00Z"},
		{"hours begin at the half", "+05:30", Hour, "2026-11-23T10:00:00Z", "2026-11-23T10:30:00Z"},
		{"west of Greenwich", "-03:30", Hour, "2026-11-23T10:29:00Z", "2026-11-23T10:30:00Z"},
		{"before 1970", "+05:30", Hour, "1969-11-23T10:00:00Z", "1969-11-23T10:30:00Z"},
		{"clocks skip an hour", "Europe/Berlin", Hour, "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
		{"the hour behind it", "Europe/Berlin", Hour, "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"},
		{"an hour comes twice", "Europe/Berlin", Hour, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"the same hour again", "Europe/Berlin", Hour, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"},
		{"clocks skip half an hour", "Australia/Lord_Howe", Hour, "2026-10-03T15:00:00Z", "2026-10-03T15:30:00Z"},
		{"half an hour is left", "Australia/Lord_Howe", Hour, "2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z"},
		{"half an hour comes twice", "Australia/Lord_Howe", Hour, "2026-04-04T14:00:00Z", "2026-04-04T15:30:00Z"},
		{"a day of 23 hours", "Europe/Berlin", Day, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
		{"a day of 25 hours", "Europe/Berlin", Day, "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
		{"a month", "Asia/Shanghai", Month, "2026-11-23T10:00:00Z", "2026-11-30T16:00:00Z"},
		{"the last month of a year", "Asia/Shanghai", Month, "2026-12-31T15:59:59Z", "2026-12-31T16:00:00Z"},
	} {
		at, err := time.Parse(time.RFC3339, tt.at)
		if err != nil {
			t.Fatal(err)
		}
		ends := time.UnixMilli(tt.span.EndMs(at.UnixMilli(), zoneOf(t, tt.zone))).UTC().Format(time.RFC3339)
		if ends != tt.ends {
			t.Errorf("%s: it ends at %s, want %s", tt.why, ends, tt.ends)
		}
	}
}

// Windows follow each other without a gap, hours lie within days and days within months, and none is much longer than
// its name says.
func TestSpansNest(t *testing.T) {
	names := []string{
		"UTC", "+05:17", "-09:45", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "America/Havana",
		"Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo",
	}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := ParseZone(rapid.SampledFrom(names).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		ms := rapid.Int64Range(0, 2_500_000_000_000).Draw(t, "ms")
		hour, day, month := Hour.EndMs(ms, zone), Day.EndMs(ms, zone), Month.EndMs(ms, zone)
		if ms >= hour || hour > day || day > month {
			t.Fatalf("at %d the hour ends at %d, the day at %d, the month at %d", ms, hour, day, month)
		}
		if hour-ms > 2*3600_000 || day-ms > 49*3600_000 || month-ms > 32*86_400_000 {
			t.Fatalf("at %d the hour ends at %d, the day at %d, the month at %d", ms, hour, day, month)
		}
		between := rapid.Int64Range(ms, hour-1).Draw(t, "between")
		if again := Hour.EndMs(between, zone); again != hour {
			t.Fatalf("the hour of %d ends at %d, and at %d seen from %d", ms, hour, again, between)
		}
	})
}

func TestIsQuarterly(t *testing.T) {
	for name, want := range map[string]bool{
		"UTC": true, "+05:30": true, "Asia/Kathmandu": true, "+05:17": false, "-00:01": false,
	} {
		if got := IsQuarterly(1_790_000_000_000, zoneOf(t, name)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if IsQuarterly(0, zoneOf(t, "Africa/Monrovia")) { // It was 44:30 from UTC until 1972.
		t.Error("Africa/Monrovia in 1970")
	}
}
