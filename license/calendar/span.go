package calendar

import "time"

// Span is how long a window of usage is by the calendar.
type Span string

// The spans, as requests name them.
const (
	Hour  Span = "hour"
	Day   Span = "day"
	Month Span = "month"
)

// EndMs returns the end of the window that holds the instant ms in zone, which is the beginning of the next one; Unix
// milliseconds. Days and months are those of WindowAt. An hour begins whenever clocks show a full hour, or jump into
// another one: where they are set back by an hour the day has one hour more.
func (s Span) EndMs(ms int64, zone *time.Location) int64 {
	switch s {
	case Day:
		return WindowAt(ms, zone).DayEndMs
	case Month:
		return WindowAt(ms, zone).MonthEndMs
	}
	return hourEnd(time.UnixMilli(ms).Unix(), zone) * 1000
}

const hourSeconds = 3600

func hourEnd(at int64, zone *time.Location) int64 {
	for s := stretchAt(at, zone); ; s = stretchAt(at, zone) {
		end := at + hourSeconds - floorMod(at+s.offset, hourSeconds)
		if end < s.end {
			return end
		}
		before := floorHour(s.end - 1 + s.offset)
		next := stretchAt(s.end, zone)
		if shown := s.end + next.offset; floorMod(shown, hourSeconds) == 0 || floorHour(shown) != before {
			return s.end
		}
		at = s.end
	}
}

func floorMod(n, m int64) int64 { return (n%m + m) % m }

func floorHour(wall int64) int64 { return wall - floorMod(wall, hourSeconds) }

// IsQuarterly reports whether clocks of zone are a whole number of quarters of an hour from UTC at the instant ms.
func IsQuarterly(ms int64, zone *time.Location) bool {
	_, offset := time.UnixMilli(ms).In(zone).Zone()
	return offset%(15*60) == 0
}
