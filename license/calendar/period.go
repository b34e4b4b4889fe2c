package calendar

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Period is a calendar span as ISO 8601 writes it: P5Y, P1M, P30D, P2W, P1DT12H, PT10S. Amounts are whole numbers.
type Period struct {
	Years, Months, Days int
	Seconds             int64 // the part behind the T
}

// ErrPeriod says to people what a period must be.
var ErrPeriod = errors.New("must be an ISO 8601 period such as P5Y, P30D or PT10S, from one second to 100 years")

// The designators before and behind the T, in the order that ISO 8601 allows them.
const dateUnits, timeUnits = "YMWD", "HMS"

// ParsePeriod reads s and checks its length: one second to 100 years, counted from 1 January 2001 (R9).
func ParsePeriod(s string) (Period, error) {
	var p Period
	rest, ok := strings.CutPrefix(s, "P")
	if !ok || rest == "" {
		return Period{}, ErrPeriod
	}
	date, clock, hasClock := strings.Cut(rest, "T")
	if hasClock && clock == "" {
		return Period{}, ErrPeriod
	}
	err := eachAmount(date, dateUnits, func(n int64, unit byte) {
		switch unit {
		case 'Y':
			p.Years = int(n)
		case 'M':
			p.Months = int(n)
		case 'W':
			p.Days += int(7 * n)
		case 'D':
			p.Days += int(n)
		}
	})
	if err != nil {
		return Period{}, err
	}
	err = eachAmount(clock, timeUnits, func(n int64, unit byte) {
		switch unit {
		case 'H':
			n *= 3600
		case 'M':
			n *= 60
		}
		p.Seconds += n
	})
	if err != nil {
		return Period{}, err
	}
	// Bounded before the calendar is asked, whose arithmetic would wrap.
	if p.Years > 100 || p.Months > 12*100 || p.Days > 366*100 || p.Seconds > 366*100*86400 {
		return Period{}, ErrPeriod
	}
	if l := p.length(); l < 1 || l > periodSecondsMax {
		return Period{}, ErrPeriod
	}
	return p, nil
}

// eachAmount calls fn for every number-and-designator of s, which must keep the order of units.
func eachAmount(s, units string, fn func(n int64, unit byte)) error {
	for s != "" {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		// Ten digits hold 100 years of seconds; more would overflow what follows.
		if digits == 0 || digits > 10 || digits == len(s) {
			return ErrPeriod
		}
		at := strings.IndexByte(units, s[digits])
		if at < 0 {
			return ErrPeriod
		}
		n, err := strconv.ParseInt(s[:digits], 10, 64)
		if err != nil {
			return ErrPeriod
		}
		fn(n, s[digits])
		units, s = units[at+1:], s[digits+1:]
	}
	return nil
}

// Lengths of periods are compared from 1 January 2001 (R9); the longest is 100 years from there, of which 24 are leap
// years.
const (
	periodEpoch      = 978_307_200 // Unix seconds
	periodSecondsMax = (100*365 + 24) * 86_400
)

// length returns the period's length in seconds, counted from 1 January 2001.
func (p Period) length() int64 { return p.End(periodEpoch, time.UTC) - periodEpoch }

// Compare returns -1, 0 or 1 as p is shorter than, as long as, or longer than q, counted from 1 January 2001 (R9).
func (p Period) Compare(q Period) int { return cmp.Compare(p.length(), q.length()) }

// End returns when a licence that was consumed at from ends, both in Unix seconds, by the calendar of zone (R2). A day
// that the month lacks runs over into the next by the days missing, which is how time.Date normalizes.
func (p Period) End(from int64, zone *time.Location) int64 {
	if p.Years|p.Months|p.Days != 0 { // Going through the calendar forgets which of two equal local times from is.
		_, offset := time.Unix(from, 0).In(zone).Zone()
		wall := time.Unix(from+int64(offset), 0).UTC().AddDate(p.Years, p.Months, p.Days).Unix()
		from = instantOf(wall, zone)
	}
	return from + p.Seconds
}

// String returns the period as ISO 8601 writes it.
func (p Period) String() string {
	b := append(make([]byte, 0, 32), 'P')
	part := func(n int64, unit byte) {
		if n != 0 {
			b = append(strconv.AppendInt(b, n, 10), unit)
		}
	}
	part(int64(p.Years), 'Y')
	part(int64(p.Months), 'M')
	part(int64(p.Days), 'D')
	if p.Seconds != 0 {
		b = append(b, 'T')
		part(p.Seconds/3600, 'H')
		part(p.Seconds/60%60, 'M')
		part(p.Seconds%60, 'S')
	}
	return string(b)
}

// MarshalText writes the period as ISO 8601 has it.
func (p Period) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (p *Period) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePeriod(string(b))
	return err
}
