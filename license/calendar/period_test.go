package calendar

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParsePeriod(t *testing.T) {
	tests := []struct {
		in   string
		want Period
		out  string // what String writes, "" for the same as in
	}{
		{in: "P5Y", want: Period{Years: 5}},
		{in: "P1M", want: Period{Months: 1}},
		{in: "P30D", want: Period{Days: 30}},
		{in: "P2W", want: Period{Days: 14}, out: "P14D"},
		{in: "P1W2D", want: Period{Days: 9}, out: "P9D"},
		{in: "PT10S", want: Period{Seconds: 10}},
		{in: "PT90S", want: Period{Seconds: 90}, out: "PT1M30S"},
		{in: "PT1M", want: Period{Seconds: 60}},
		{in: "P1M", want: Period{Months: 1}},
		{in: "P1DT12H", want: Period{Days: 1, Seconds: 12 * 3600}},
		{in: "PT36H", want: Period{Seconds: 36 * 3600}},
		{in: "P1Y2M3DT4H5M6S", want: Period{Years: 1, Months: 2, Days: 3, Seconds: 4*3600 + 5*60 + 6}},
		{in: "P14M", want: Period{Months: 14}},
		{in: "P0Y1D", want: Period{Days: 1}, out: "P1D"},
		{in: "P007D", want: Period{Days: 7}, out: "P7D"},
		// The bounds: one second, and 100 years from 1 January 2001, which have 24 leap days.
		{in: "PT1S", want: Period{Seconds: 1}},
		{in: "P100Y", want: Period{Years: 100}},
		{in: "P1200M", want: Period{Months: 1200}},
		{in: "P99Y12M", want: Period{Years: 99, Months: 12}},
		{in: "P36524D", want: Period{Days: 36524}},
		{in: "P36523DT86400S", want: Period{Days: 36523, Seconds: 86400}, out: "P36523DT24H"},
		{in: "PT3155673600S", want: Period{Seconds: 36524 * 86400}, out: "PT876576H"},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := ParsePeriod(tt.in)
			if err != nil || got != tt.want {
				t.Fatalf("got %+v, %v; want %+v", got, err, tt.want)
			}
			want := tt.out
			if want == "" {
				want = tt.in
			}
			if got.String() != want {
				t.Errorf("written as %s, want %s", got, want)
			}
		})
	}
}

func TestParsePeriodRefuses(t *testing.T) {
	for _, in := range []string{
		// no period
		"", "P", "PT", "5Y", "P5", "P5Y ", " P5Y", "p5y", "P5y", "PY", "P5YT", "P5X", "PTS", "PT5", "P5YT5", "-P5Y", "P-5Y",
		"P+5Y", "P 5Y",
		"P5Y5", "P1.5Y", "PT0.5S", "PT0,5S", "P1Y\x00", "P５Y", "P1Y1Y", "PT1H1H", "five years", "P1S", "P1H", "PT1D", "PT1Y",
		"PT1W", "PTT1S",
		// designators out of their order
		"P1M1Y", "P1D1M", "P1D1W", "PT1S1M", "PT1M1H",
		// under one second
		"P0D", "PT0S", "P0Y0M0DT0H0M0S", "P0W",
		// over 100 years
		"P101Y", "P100Y1D", "P100YT1S", "P100Y1M", "P1201M", "P36525D", "P5218W", "PT3155673601S", "PT876577H",
		"P100Y1200M36600D",
		// numbers that would wrap
		"P9999999999Y", "P9999999999M", "P9999999999W", "P9999999999D", "PT9999999999H", "PT9999999999M", "PT9999999999S",
		"P18446744073709551617Y", "P4294967297Y", "PT18446744073709551617S", "P" + strings.Repeat("9", 400) + "D",
		"P9999999999Y9999999999M9999999999W9999999999DT9999999999H9999999999M9999999999S",
	} {
		if p, err := ParsePeriod(in); err == nil {
			t.Errorf("%q was taken for %s (%+v)", in, p, p)
		} else if p != (Period{}) {
			t.Errorf("%q was refused and returned all the same: %+v", in, p)
		}
	}
}

func TestPeriodText(t *testing.T) {
	var p Period
	if err := p.UnmarshalText([]byte("P1Y2M3DT4H5M6S")); err != nil {
		t.Fatal(err)
	}
	if b, err := p.MarshalText(); err != nil || string(b) != "P1Y2M3DT4H5M6S" {
		t.Errorf("got %s, %v", b, err)
	}
	if err := p.UnmarshalText([]byte("P1.5Y")); err == nil {
		t.Error("half a year was taken")
	}
}

// R9: lengths are compared from 1 January 2001, a common year that begins with a month of 31 days.
func TestPeriodCompare(t *testing.T) {
	tests := []struct {
		p, q string
		want int
	}{
		{"P1Y", "P1Y", 0},
		{"P1Y", "P12M", 0},
		{"P1Y", "P365D", 0},
		{"P1Y", "P366D", -1},
		{"P4Y", "P1461D", 0}, // with the leap day of 2004
		{"P4Y", "P1460D", 1},
		{"P1M", "P31D", 0},
		{"P1M", "P30D", 1},
		{"P2M", "P59D", 0},
		{"P1D", "PT24H", 0},
		{"P1W", "P7D", 0},
		{"PT60M", "PT1H", 0},
		{"PT59S", "PT1M", -1},
		{"PT1S", "P100Y", -1},
		{"P100Y", "P36524D", 0},
	}
	for _, tt := range tests {
		p, q := mustPeriod(t, tt.p), mustPeriod(t, tt.q)
		if got := p.Compare(q); got != tt.want {
			t.Errorf("%s against %s: got %d, want %d", p, q, got, tt.want)
		}
		if got := q.Compare(p); got != -tt.want {
			t.Errorf("%s against %s: got %d, want %d", q, p, got, -tt.want)
		}
	}
}

// R2 with its worked examples: a day that the month lacks runs over into the next by the days missing.
func TestPeriodEnd(t *testing.T) {
	tests := []struct{ zone, from, period, want string }{
		{"UTC", "2027-01-31T00:00:00", "P1M", "2027-03-03T00:00:00"},
		{"UTC", "2028-02-29T10:00:00", "P5Y", "2033-03-01T10:00:00"},
		{"Asia/Shanghai", "2027-01-31T00:00:00", "P1M", "2027-03-03T00:00:00"},
		{"Asia/Shanghai", "2028-02-29T10:00:00", "P5Y", "2033-03-01T10:00:00"},
		{"UTC", "2028-01-31T23:59:59", "P1M", "2028-03-02T23:59:59"}, // a leap year lacks one day less
		{"UTC", "2027-01-30T00:00:00", "P1M", "2027-03-02T00:00:00"},
		{"UTC", "2027-01-29T00:00:00", "P1M", "2027-03-01T00:00:00"},
		{"UTC", "2027-01-28T00:00:00", "P1M", "2027-02-28T00:00:00"},
		{"UTC", "2027-03-31T08:00:00", "P1M", "2027-05-01T08:00:00"},
		{"UTC", "2027-05-31T08:00:00", "P6M", "2027-12-01T08:00:00"},
		{"UTC", "2027-12-31T08:00:00", "P2M", "2028-03-02T08:00:00"},
		{"UTC", "2028-02-29T10:00:00", "P4Y", "2032-02-29T10:00:00"},
		{"UTC", "2028-02-29T10:00:00", "P1Y", "2029-03-01T10:00:00"},
		{"UTC", "2096-02-29T10:00:00", "P4Y", "2100-03-01T10:00:00"}, // 2100 is no leap year
		{"UTC", "2027-12-31T23:59:59", "PT10S", "2028-01-01T00:00:09"},
		{"UTC", "2027-02-15T00:00:00", "P2W", "2027-03-01T00:00:00"},
		{"UTC", "2028-02-15T00:00:00", "P2W", "2028-02-29T00:00:00"},
		{"UTC", "2026-11-23T01:02:03", "P1Y2M3DT4H5M6S", "2028-01-26T05:07:09"},
		// Years, months and days are added in one step: 31 January + 1 month + 1 day is "32 February".
		{"UTC", "2027-01-31T00:00:00", "P1M1D", "2027-03-04T00:00:00"},
		// By the calendar of the zone, a day is not 24 hours: the clock shows the same time.
		{"Europe/Berlin", "2027-03-27T12:00:00", "P1D", "2027-03-28T12:00:00"},
		{"Europe/Berlin", "2027-03-27T12:00:00", "PT24H", "2027-03-28T13:00:00"},
		{"Europe/Berlin", "2027-10-30T12:00:00", "P1D", "2027-10-31T12:00:00"},
		{"Europe/Berlin", "2027-10-30T12:00:00", "PT24H", "2027-10-31T11:00:00"},
		{"America/New_York", "2027-01-31T18:30:00", "P1M", "2027-03-03T18:30:00"},
		{"+14:00", "2027-01-31T00:00:00", "P1M", "2027-03-03T00:00:00"},
		{"-12:00", "2027-01-31T00:00:00", "P1M", "2027-03-03T00:00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.zone+" "+tt.from+" "+tt.period, func(t *testing.T) {
			zone := mustZone(t, tt.zone)
			got := mustPeriod(t, tt.period).End(at(t, zone, tt.from).Unix(), zone)
			if s := time.Unix(got, 0).In(zone).Format(local); s != tt.want {
				t.Errorf("ends at %s, want %s", s, tt.want)
			}
		})
	}
}

// R2: the hour that exists twice when clocks are set back. Seconds are no calendar: they run from the instant itself.
func TestPeriodEndInTheHourThatComesTwice(t *testing.T) {
	tests := []struct {
		zone, utc string // the second of two equal local times
	}{
		{"Europe/Berlin", "2027-10-31T01:30:00"},
		{"America/New_York", "2027-11-07T06:30:00"},
		{"Atlantic/Azores", "2027-10-31T01:30:00"},
	}
	for _, tt := range tests {
		zone := mustZone(t, tt.zone)
		second := at(t, time.UTC, tt.utc)
		first := second.Add(-time.Hour)
		if a, b := first.In(zone).Format(local), second.In(zone).Format(local); a != b {
			t.Fatalf("%s: %s and %s are not one local time", tt.zone, a, b)
		}
		for _, from := range []time.Time{first, second} {
			for _, s := range []string{"PT10S", "PT1M", "PT59M"} {
				p := mustPeriod(t, s)
				if got, want := p.End(from.Unix(), zone), from.Unix()+p.Seconds; got != want {
					t.Errorf(
						"%s in %s from %s ends %d s after it began, want %d",
						p,
						tt.zone,
						from.In(zone),
						got-from.Unix(),
						p.Seconds,
					)
				}
			}
		}
	}
}

// A licence that ends when it begins would let one device consume all others (R4).
func TestPeriodEndIsAfterItsBeginning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := mustZone(t, rapid.SampledFrom(zones).Draw(t, "zone"))
		from := drawInstantMs(t, zone) / 1000
		p := drawPeriod(t)
		if end := p.End(from, zone); end <= from {
			t.Fatalf("%s in %s from %s ends %d s after it began", p, zone, time.Unix(from, 0).In(zone), end-from)
		}
	})
}

func TestPeriodRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPeriod(t)
		q, err := ParsePeriod(p.String())
		if err != nil || q != p {
			t.Fatalf("%+v is written as %s and read as %+v, %v", p, p, q, err)
		}
	})
}

// drawPeriod draws one that ParsePeriod takes.
func drawPeriod(t *rapid.T) Period {
	p := Period{
		Years:  rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 99)).Draw(t, "years"),
		Months: rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 11)).Draw(t, "months"),
		Days:   rapid.OneOf(rapid.Just(0), rapid.IntRange(0, 27)).Draw(t, "days"),
	}
	p.Seconds = rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 86_400)).Draw(t, "seconds")
	if p == (Period{}) {
		p.Seconds = 1
	}
	return p
}

// local is how tests write local times.
const local = "2006-01-02T15:04:05"

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func at(t fataler, zone *time.Location, s string) time.Time {
	t.Helper()
	at, err := time.ParseInLocation(local, s, zone)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return at
}

func mustPeriod(t fataler, s string) Period {
	t.Helper()
	p, err := ParsePeriod(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return p
}

func mustZone(t fataler, name string) *time.Location {
	t.Helper()
	zone, err := ParseZone(name)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return zone
}

func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{
		"P5Y", "P1M", "P30D", "P2W", "P1DT12H", "PT10S", "P1Y2M3W4DT5H6M7S", "P100Y", "P100YT1S", "PT3155673600S",
		"P9999999999W",
		"PT", "P", "", "P0D", "P1M1Y", "PT1.5S", "P00000000001D",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePeriod(s)
		if err != nil {
			if p != (Period{}) {
				t.Fatalf("%q was refused and returned all the same: %+v", s, p)
			}
			return
		}
		if l := p.length(); l < 1 || time.Unix(periodEpoch+l, 0).After(time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)) {
			t.Fatalf("%q is out of bounds: it has %d seconds", s, l)
		}
		again, err := ParsePeriod(p.String())
		if err != nil || again != p {
			t.Fatalf("%q is %+v, written as %s, read as %+v, %v", s, p, p, again, err)
		}
		if again.String() != p.String() || p.Compare(again) != 0 {
			t.Fatalf("%q: %s and %s differ", s, p, again)
		}
		from := int64(1_800_000_000)
		if end := p.End(from, time.UTC); end <= from {
			t.Fatalf("%q ends %s after it began", s, fmt.Sprint(end-from))
		}
	})
}
