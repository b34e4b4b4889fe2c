package main

import (
	"strings"
	"testing"
	"time"
	"unicode"
)

func TestParseInstant(t *testing.T) {
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.FixedZone("", 8*3600))
	for text, want := range map[string]string{
		"2026-11-23T10:00:00.25+02:00": "2026-11-23T08:00:00.25Z",
		"2026-11-23":                   "2026-11-23T00:00:00Z",
		"-2h":                          "2026-11-23T00:00:00Z",
		"+1h30m":                       "2026-11-23T03:30:00Z",
		"+30d":                         "2026-12-23T02:00:00Z",
		"-1d":                          "2026-11-22T02:00:00Z",
		"+36525d":                      "2126-11-24T02:00:00Z",
		"-0s":                          "2026-11-23T02:00:00Z",
	} {
		if got, err := parseInstant(text, now); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "+", "-", "2h", "30d", "now", "+d", "+1.5d", "+36526d", "-99999999999999999999d", "+1x", "2026-13-01",
		"2026-11-23 10:00", "++1h", "+-1d",
	} {
		if got, err := parseInstant(text, now); err == nil {
			t.Errorf("%q was taken for %v", text, got)
		}
	}
}

// FuzzPrintable: whatever a device says, a terminal shows it and obeys none of it; what is harmless stays as it is.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"21.5 °C", "a\x1b[2J", "\"quoted\\\"", "\u202e\u009b", "\xff\ufffd", "激活码", "\u00a0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := printable(s)
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("%q is shown as %q", s, got)
		}
		if printable(got) != got {
			t.Fatalf("%q changes again to %q", got, printable(got))
		}
		if short := shorten(got); len([]rune(short)) > cellRunesMax {
			t.Fatalf("%q has %d runes", short, len([]rune(short)))
		}
	})
}
