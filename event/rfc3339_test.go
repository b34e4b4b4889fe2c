package event

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	at := func(s string) int64 {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v.UnixMilli()
	}
	for _, c := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"1970-01-01T00:00:00Z", 0, true},
		{"2026-11-23T18:12:43Z", at("2026-11-23T18:12:43Z"), true},
		{"2026-11-23T18:12:43.1Z", at("2026-11-23T18:12:43.100Z"), true},
		{"2026-11-23T18:12:43.123999999999999Z", at("2026-11-23T18:12:43.123Z"), true},
		{"1969-12-31T23:59:59.9999Z", -1, true}, // rounded down, not towards zero
		{"2026-11-23T18:12:43+08:00", at("2026-11-23T10:12:43Z"), true},
		{"2026-11-23T18:12:43-23:59", at("2026-11-24T18:11:43Z"), true},
		{"2024-02-29t00:00:00z", at("2024-02-29T00:00:00Z"), true}, // RFC 3339, 5.6: either case
		{"0000-01-01T00:00:00Z", at("0000-01-01T00:00:00Z"), true},
		{"9999-12-31T23:59:59Z", at("9999-12-31T23:59:59Z"), true},
		{"2016-12-31T23:59:60Z", at("2017-01-01T00:00:00Z"), true}, // a leap second
		{"2017-01-01T07:59:60.5+08:00", at("2017-01-01T00:00:00.5Z"), true},
		{"2017-01-01T07:59:60Z", 0, false}, // none can be there
		{"2026-02-29T00:00:00Z", 0, false},
		{"1900-02-29T00:00:00Z", 0, false},
		{"2026-11-31T00:00:00Z", 0, false},
		{"2026-00-01T00:00:00Z", 0, false},
		{"2026-13-01T00:00:00Z", 0, false},
		{"2026-01-00T00:00:00Z", 0, false},
		{"2026-01-01T24:00:00Z", 0, false},
		{"2026-01-01T00:60:00Z", 0, false},
		{"2026-01-01T00:00:61Z", 0, false},
		{"2026-01-01T00:00:00", 0, false},
		{"2026-01-01T00:00:00.Z", 0, false},
		{"2026-01-01T00:00:00,5Z", 0, false},
		{"2026-01-01T00:00:00+0800", 0, false},
		{"2026-01-01T00:00:00+24:00", 0, false},
		{"2026-01-01T00:00:00+08:60", 0, false},
		{"2026-01-01T00:00:00+08:00Z", 0, false},
		{"2026-01-01 00:00:00Z", 0, false},
		{"2026-1-01T00:00:00Z", 0, false},
		{"+026-01-01T00:00:00Z", 0, false},
		{"1795457563", 0, false},
		{"", 0, false},
	} {
		if got, ok := ParseTime([]byte(c.in)); got != c.want || ok != c.ok {
			t.Errorf("ParseTime(%q) = %d, %v; want %d, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

// TestParseTimeDays goes through every day of the calendar's 400 years, and then through the rest of what four digits
// of a year can name in steps that meet every day of the month.
func TestParseTimeDays(t *testing.T) {
	var text []byte
	step := 1
	for day := time.Date(0, 1, 1, 12, 34, 56, 0, time.UTC); day.Year() < 10000; day = day.AddDate(0, 0, step) {
		if day.Year() == 400 {
			step = 29
		}
		text = day.AppendFormat(text[:0], time.RFC3339)
		if got, ok := ParseTime(text); !ok || got != day.UnixMilli() {
			t.Fatalf("ParseTime(%q) = %d, %v; want %d", text, got, ok, day.UnixMilli())
		}
	}
}

// rfc3339Shape is the grammar of RFC 3339, 5.6. Package time is not held to it: it takes an hour of one digit, decimals
// behind a comma, and zones that are none.
var rfc3339Shape = regexp.MustCompile(
	`^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$`)

// FuzzParseTime has the grammar and package time together as its oracle, but for leap seconds, which the table has. A
// time must have a year of four digits in UTC, too.
func FuzzParseTime(f *testing.F) {
	f.Add([]byte("2026-11-23T18:12:43.123+08:00"))
	f.Add([]byte("2016-12-31T23:59:60Z"))
	f.Add([]byte("0000-01-01T00:00:00+01:00"))
	f.Add([]byte("9999-12-31T23:59:59-00:01"))
	f.Fuzz(func(t *testing.T, s []byte) {
		got, ok := ParseTime(s)
		if len(s) > 19 && string(s[17:19]) == "60" {
			return
		}
		want, err := time.Parse(time.RFC3339Nano, strings.ToUpper(string(s)))
		year := want.UTC().Year()
		if valid := err == nil && rfc3339Shape.Match(s) && year >= 0 &&
			year <= 9999; ok != valid ||
			ok && got != want.UnixMilli() {
			t.Fatalf("ParseTime(%q) = %d, %v; time has %d, %v", s, got, ok, want.UnixMilli(), err)
		}
	})
}

func TestAppendTime(t *testing.T) {
	for ms, want := range map[int64]string{
		0:                `"1970-01-01T00:00:00Z"`,
		1795457563000:    `"2026-11-23T18:12:43Z"`,
		1795457563007:    `"2026-11-23T18:12:43.007Z"`,
		1795457563120:    `"2026-11-23T18:12:43.120Z"`,
		-1:               `"1969-12-31T23:59:59.999Z"`,
		-62167219200_000: `"0000-01-01T00:00:00Z"`,
	} {
		got := AppendTime([]byte("x"), ms)
		if string(got) != "x"+want {
			t.Errorf("AppendTime(%d) = %s, want %s", ms, got[1:], want)
			continue
		}
		var back time.Time
		if err := json.Unmarshal(got[1:], &back); err != nil || back.UnixMilli() != ms {
			t.Errorf("AppendTime(%d) reads back as %v, %v", ms, back, err)
		}
	}
}
