package calendar

import "time"

// ParseMonth returns the number of a calendar month that is written 2006-01; ok is false for what is none, or lies
// before January 2020.
func ParseMonth(s string) (month uint32, ok bool) {
	t, err := time.Parse("2006-01", s)
	if err != nil || t.Year() < epochYear || t.Format("2006-01") != s {
		return 0, false
	}
	return uint32((t.Year()-epochYear)*12 + int(t.Month()) - 1), true
}

// MonthBounds returns when a month begins and ends in zone: half open, Unix milliseconds.
func MonthBounds(month uint32, zone *time.Location) (startMs, endMs int64) {
	first := func(m uint32) int64 {
		return firstInstant(time.Date(epochYear, 1+time.Month(m), 1, 0, 0, 0, 0, time.UTC).Unix(), zone) * 1000
	}
	return first(month), first(month + 1)
}
