package calendar

import "testing"

// Names and numbers of days and months lead to each other, and every day lies in its month.
func TestDaysAndMonths(t *testing.T) {
	for day := range uint32(1 << 14) {
		month := MonthOf(day)
		if FirstDay(month) > day || FirstDay(month+1) <= day {
			t.Fatalf("day %d lies in month %d, which has days %d to %d", day, month, FirstDay(month), FirstDay(month+1)-1)
		}
		if got, ok := ParseDay(DayName(day)); !ok || got != day {
			t.Fatalf("day %d is %s, which is read as %d, %v", day, DayName(day), got, ok)
		}
		if got, ok := ParseMonth(MonthName(month)); !ok || got != month {
			t.Fatalf("month %d is %s, which is read as %d, %v", month, MonthName(month), got, ok)
		}
		for _, zone := range []string{"-23:59", "UTC", "+23:59"} {
			w := WindowAt(DayEndedMs(day), mustZone(t, zone))
			if w.Day <= day {
				t.Fatalf("day %d is not over in %s", day, zone)
			}
		}
	}
	for _, name := range []string{
		"", "2026", "2026-11", "2026-11-31", "2026-1-1", "2019-12-31", "0001-01-01", "9999-12-31", "2026-11-23T00:00:00Z",
		" 2026-11-23",
	} {
		if day, ok := ParseDay(name); ok {
			t.Errorf("%q was taken for day %d", name, day)
		}
	}
}
