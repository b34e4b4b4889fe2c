package license

import (
	"errors"
	"strings"
	"time"

	// The daemon must know every time zone on machines that have no database of them.
	_ "time/tzdata"
)

var errZone = errors.New("must be an IANA time zone such as Asia/Shanghai, or an offset such as +08:00")

// ParseZone returns the time zone called name: an IANA name, UTC, or ±HH:MM.
func ParseZone(name string) (*time.Location, error) {
	switch {
	case name == "",
		name == "Local",
		name == "localtime",
		name == "posixrules": // They would make answers depend on the machine.
		return nil, errZone
	case name == "Factory", strings.HasPrefix(name, "posix/"), strings.HasPrefix(name, "right/"):
		return nil, errZone // Files of the database that are no zones, and zones that count leap seconds.
	}
	if name[0] == '+' || name[0] == '-' {
		t, err := time.Parse("-07:00", name)
		if err != nil || name[1:3] > "23" || name[4:] > "59" { // Parse takes 24 hours and 60 minutes.
			return nil, errZone
		}
		_, offset := t.Zone()
		return time.FixedZone(name, offset), nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errZone
	}
	return zone, nil
}

// Window is the running day and month of a product: numbers for the device table, instants for comparing and answering.
// Days and months count from January 2020 by the product's calendar.
type Window struct {
	Day, Month               uint32
	DayStartMs, DayEndMs     int64 // half open, Unix milliseconds
	MonthStartMs, MonthEndMs int64
}

// epochYear is where days and months count from.
const epochYear = 2020

// WindowAt returns the window that holds the instant ms in zone.
func WindowAt(ms int64, zone *time.Location) Window {
	t := time.UnixMilli(ms).In(zone)
	y, m, d := t.Date()
	return Window{
		Day:          uint32(dayNumber(y, m, d)),
		Month:        uint32((y-epochYear)*12 + int(m) - 1),
		DayStartMs:   firstInstant(y, m, d, zone),
		DayEndMs:     firstInstant(y, m, d+1, zone),
		MonthStartMs: firstInstant(y, m, 1, zone),
		MonthEndMs:   firstInstant(y, m+1, 1, zone),
	}
}

// dayNumber is below zero before 2020, so that days can be compared at the edge.
func dayNumber(y int, m time.Month, d int) int {
	days := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).
		Sub(time.Date(epochYear, 1, 1, 0, 0, 0, 0, time.UTC)) /
		(24 * time.Hour)
	return int(days)
}

// DayName returns the calendar day with this number as 2006-01-02.
func DayName(day uint32) string {
	return time.Date(epochYear, 1, 1+int(day), 0, 0, 0, 0, time.UTC).Format("2006-01-02")
}

// MonthName returns the calendar month with this number as 2006-01.
func MonthName(month uint32) string {
	return time.Date(epochYear, 1+time.Month(month), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")
}

// firstInstant returns the first millisecond whose local date is not before y-m-d. Midnight itself may not exist there,
// or exist twice, where clocks change at midnight; so it is searched, not computed.
func firstInstant(y int, m time.Month, d int, zone *time.Location) int64 {
	want := dayNumber(y, m, d)
	middle := time.Date(y, m, d, 0, 0, 0, 0, time.UTC).UnixMilli()
	// No zone is more than 26 hours from UTC, changes of the date line included.
	low, high := middle-50*3600_000, middle+50*3600_000
	for low < high {
		at := low + (high-low)/2
		yy, mm, dd := time.UnixMilli(at).In(zone).Date()
		if dayNumber(yy, mm, dd) >= want {
			high = at
		} else {
			low = at + 1
		}
	}
	return low
}
