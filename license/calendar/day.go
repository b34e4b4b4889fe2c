package calendar

import "time"

// FirstDay returns the number of the first day of a month, both counted from January 2020.
func FirstDay(month uint32) uint32 {
	return uint32(time.Date(epochYear, 1+time.Month(month), 1, 0, 0, 0, 0, time.UTC).Unix()/daySeconds - epochDay)
}

// MonthOf returns the number of the month that a day lies in.
func MonthOf(day uint32) uint32 {
	y, m, _ := time.Unix((int64(day)+epochDay)*daySeconds, 0).UTC().Date()
	return uint32((y-epochYear)*12 + int(m) - 1)
}

// DayEndedMs returns an instant by which a day is over in every time zone, Unix milliseconds.
func DayEndedMs(day uint32) int64 { return (int64(day) + 2 + epochDay) * daySeconds * 1000 }

// DayMax is the last day with a number, in 2064: the device table has 14 bits for it.
const DayMax = 1<<14 - 1

// ParseDay returns the number of a calendar day that is written 2006-01-02; ok is false for what is none, and for a day
// before 2020 or after 2064.
func ParseDay(s string) (day uint32, ok bool) {
	at, err := time.Parse(time.DateOnly, s)
	n := at.Unix()/daySeconds - epochDay
	if err != nil || n < 0 || n > DayMax {
		return 0, false
	}
	return uint32(n), true
}
