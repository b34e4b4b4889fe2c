package calendar

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

// epochYear is where days and months count from, and epochDay its first day, counted from 1970.
const epochYear, epochDay = 2020, 18_262

// WindowAt returns the window that holds the instant ms in zone. A day begins with the first instant that has its date:
// midnight may not exist. Once it has begun it is not taken back, although clocks may be set back over midnight (R12).
func WindowAt(ms int64, zone *time.Location) Window {
	at := time.UnixMilli(ms).Unix()
	_, offset := time.Unix(at, 0).In(zone).Zone()
	midnight := at + int64(offset)
	midnight -= (midnight%daySeconds + daySeconds) % daySeconds
	end := firstInstant(midnight+daySeconds, zone)
	if at >= end {
		midnight += daySeconds
		end = firstInstant(midnight+daySeconds, zone)
	}
	y, m, _ := time.Unix(midnight, 0).UTC().Date()
	month := func(m time.Month) int64 {
		return firstInstant(time.Date(y, m, 1, 0, 0, 0, 0, time.UTC).Unix(), zone) * 1000
	}
	return Window{
		Day:          uint32(midnight/daySeconds - epochDay), // Days before 2020 have no number.
		Month:        uint32((y-epochYear)*12 + int(m) - 1),
		DayStartMs:   firstInstant(midnight, zone) * 1000,
		DayEndMs:     end * 1000,
		MonthStartMs: month(m),
		MonthEndMs:   month(m + 1),
	}
}

const daySeconds = 86_400

// DayStartMs returns when the calendar day with this number begins in zone, Unix milliseconds.
func DayStartMs(day uint32, zone *time.Location) int64 {
	return firstInstant((epochDay+int64(day))*daySeconds, zone) * 1000
}

// DayName returns the calendar day with this number as 2006-01-02.
func DayName(day uint32) string {
	return time.Date(epochYear, 1, 1+int(day), 0, 0, 0, 0, time.UTC).Format("2006-01-02")
}

// MonthName returns the calendar month with this number as 2006-01.
func MonthName(month uint32) string {
	return time.Date(epochYear, 1+time.Month(month), 1, 0, 0, 0, 0, time.UTC).Format("2006-01")
}
