// Package calendar reckons with the calendar of a time zone: when a period ends, and which day and month are running.
//
//	activation, period ──► local time ──► + years, months, days ──► instantOf ──► + seconds ──► end (R2)
//	instant ──► local date ──► firstInstant of its day, the next day, its month, the next month ──► Window (R10, R15)
//	                                │
//	                                └── the zone's stretches of one offset from UTC
//
// Invariants:
//
//   - Every local time has one instant: the first if clocks show it twice; if they skip it, it is moved forward by
//     the gap. It does not depend on which side of UTC the zone lies.
//   - Windows tile time, and their numbers only rise with it: a day that has begun is not taken back (R12).
//   - Nothing depends on the machine: zones come with the program.
package calendar
