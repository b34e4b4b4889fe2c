package calendar

import (
	"testing"
	"time"
)

// TestMonths compares months with the windows that the device table counts in.
func TestMonths(t *testing.T) {
	for _, name := range []string{"UTC", "Asia/Shanghai", "America/Sao_Paulo", "Pacific/Apia", "+05:17"} {
		zone, err := ParseZone(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2028; at = at.Add(31 * time.Hour) {
			w := WindowAt(at.UnixMilli(), zone)
			if start, end := MonthBounds(w.Month, zone); start != w.MonthStartMs || end != w.MonthEndMs {
				t.Fatalf("%s, month %d: %d to %d, want %+v", name, w.Month, start, end, w)
			}
			if m, ok := ParseMonth(MonthName(w.Month)); !ok || m != w.Month {
				t.Fatalf("%s is read as %d", MonthName(w.Month), m)
			}
		}
	}
	for _, s := range []string{"", "2026", "2026-1", "2026-13", "2026-00", "2019-12", "2026-11-01", " 2026-11", "26-11"} {
		if m, ok := ParseMonth(s); ok {
			t.Errorf("%q is read as month %d", s, m)
		}
	}
}
