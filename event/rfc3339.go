package event

import "time"

// The times that RFC 3339 has words for in UTC, Unix milliseconds: the years 0 to 9999.
const (
	TimeMsMin = -62_167_219_200_000
	TimeMsMax = 253_402_300_799_999
)

// ParseTime returns the Unix milliseconds, rounded down, of a time as RFC 3339 has it: any number of decimals, letters
// in either case, and a leap second where one can be, which is counted into the day that follows.
func ParseTime(s []byte) (unixMs int64, ok bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(s) < shortest || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return 0, false
	}
	century, year := twoDigits(s), twoDigits(s[2:])
	month, day := twoDigits(s[5:]), twoDigits(s[8:])
	hour, minute, second := twoDigits(s[11:]), twoDigits(s[14:]), twoDigits(s[17:])
	if century|year|month|day|hour|minute|second < 0 || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	year += 100 * century
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	ms, s, ok := parseDecimals(s[19:])
	if !ok {
		return 0, false
	}
	offset, ok := parseOffset(s)
	if !ok {
		return 0, false
	}
	seconds := unixDay(year, month, day)*86400 + hour*3600 + minute*60 + second - offset
	if second == 60 && seconds%86400 != 0 {
		return 0, false
	}
	unixMs = seconds*1000 + ms
	return unixMs, unixMs >= TimeMsMin && unixMs <= TimeMsMax // At the ends of the calendar the offset may lead out of it.
}

// twoDigits returns the number that s begins with, or a negative one.
func twoDigits(s []byte) int64 {
	if !isDigit(s[0]) || !isDigit(s[1]) {
		return -1
	}
	return int64(s[0]-'0')*10 + int64(s[1]-'0')
}

// parseDecimals returns the milliseconds of the decimals that s may begin with, and the rest of s.
func parseDecimals(s []byte) (ms int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '.' {
		return 0, s, true
	}
	n := 1
	for unit := int64(100); n < len(s) && isDigit(s[n]); n++ {
		ms += int64(s[n]-'0') * unit
		unit /= 10 // 0 from the fourth on
	}
	return ms, s[n:], n > 1
}

// parseOffset returns the seconds by which the zone s is ahead of UTC.
func parseOffset(s []byte) (seconds int64, ok bool) {
	if len(s) == 1 {
		return 0, s[0]|0x20 == 'z'
	}
	if len(s) != len("+07:00") || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, minute := twoDigits(s[1:]), twoDigits(s[4:])
	if hour|minute < 0 || hour > 23 || minute > 59 {
		return 0, false
	}
	seconds = hour*3600 + minute*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// unixDay returns the days from 1 January 1970 to a day of the Gregorian calendar. A year that is counted from March
// has its leap day last, and (153*m + 2)/5 is then the day of the year that a month begins with.
func unixDay(year, month, day int64) int64 {
	month -= 3
	if month < 0 {
		month += 12
		year--
	}
	// so that the divisions below are of nothing negative: year 0 begins in March of the year before
	year += 400
	const eraDays = 146097 // of 400 years
	return year*365 + year/4 - year/100 + year/400 + (153*month+2)/5 + day - 1 - eraDays - 719468
}

func isDigit(c byte) bool { return c-'0' < 10 }

// AppendTime appends a time in RFC 3339, UTC, quoted; milliseconds only when there are some.
func AppendTime(dst []byte, unixMs int64) []byte {
	dst = append(dst, '"')
	t := time.UnixMilli(unixMs).UTC()
	if unixMs%1000 == 0 {
		dst = t.AppendFormat(dst, "2006-01-02T15:04:05Z")
	} else {
		dst = t.AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	}
	return append(dst, '"')
}
