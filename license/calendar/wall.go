package calendar

import (
	"iter"
	"time"
)

// Local times are reckoned here, not by time.Date: of a local time that a clock change skips, or that occurs twice, it
// takes either instant, as the zone's history has it. A local time is written as the Unix second that it would be in
// UTC; its second is an offset away.

// offsetMost is farther than any zone ever was from UTC, changes of the date line included.
const offsetMost = 26 * 3600

// stretch is a time of one offset from UTC, or a part of one.
type stretch struct {
	start, end int64 // half open, Unix seconds
	offset     int64
}

// What has no beginning or no end has these.
const minSecond, maxSecond = -1 << 62, 1 << 62

// stretchAt returns a stretch that holds an instant.
func stretchAt(at int64, zone *time.Location) stretch {
	t := time.Unix(at, 0).In(zone)
	_, offset := t.Zone()
	s := stretch{start: minSecond, end: maxSecond, offset: int64(offset)}
	start, end := t.ZoneBounds()
	if !start.IsZero() {
		s.start = start.Unix()
	}
	if !end.IsZero() {
		s.end = end.Unix()
	}
	if s.end <= at {
		// Where a zone's changes follow a rule, package time ends a stretch with the year, which it takes to have 365
		// days: on the last day of a leap year the end has passed. The day is over at midnight in UTC.
		s.end = at + daySeconds - at%daySeconds
	}
	return s
}

// steady reports whether s holds every instant that could have a local time: it has one then, and it is s.offset away.
func (s *stretch) steady(wall int64) bool {
	return s.start <= wall-offsetMost && s.end > wall+offsetMost
}

// stretches yields what holds every instant that could have a local time: stretches without a gap, oldest first.
func stretches(wall int64, zone *time.Location) iter.Seq[stretch] {
	return func(yield func(stretch) bool) {
		for at := wall - offsetMost; at <= wall+offsetMost; {
			s := stretchAt(at, zone)
			s.start = at
			if !yield(s) {
				return
			}
			at = s.end
		}
	}
}

// instantOf returns the Unix second at which clocks of a zone show a local time: the first if they do twice. If they
// skip it, it is moved forward by the gap (R2).
func instantOf(wall int64, zone *time.Location) int64 {
	s := stretchAt(wall, zone)
	if s.steady(wall) {
		return wall - s.offset
	}
	skipped, before := int64(maxSecond), int64(0)
	for s = range stretches(wall, zone) {
		at := wall - s.offset
		if at >= s.start && at < s.end {
			return at
		}
		if at < s.start && skipped == maxSecond { // Before the change it was not yet, behind it it is no more.
			skipped = wall - before
		}
		before = s.offset
	}
	return skipped
}

// firstInstant returns the first Unix second at which clocks of a zone show a local time or a later one.
func firstInstant(wall int64, zone *time.Location) int64 {
	s := stretchAt(wall, zone)
	if s.steady(wall) {
		return wall - s.offset
	}
	for s = range stretches(wall, zone) {
		if at := max(s.start, wall-s.offset); at < s.end {
			return at
		}
	}
	panic("BUG: a zone is more than 26 hours from UTC")
}
