package rawlog

import "time"

const (
	// followBytes is what the view reads of the log at once.
	followBytes = 2 << 20
	// tailBytes is what is read of the log at once for a device's events that are not gathered: a little at first, since
	// the tail is a second as a rule, then twice as much each time.
	tailBytes    = 4 << 20
	tailBytesMin = 128 << 10
	// sortsMax bounds the products that are read in full at once: each sorts 24 MiB of rows in memory, reads up to 96
	// sorted pieces with a block each, and has one file open.
	sortsMax = 2
	// ownersAtOnce is how many ordinals are looked up at once, at some 30 ns each.
	ownersAtOnce = 4096
	// paceRows is how many events a second may be decided before the view keeps to pacePart of all processors: archiving
	// an event takes 0.25 µs of one, and as much as 0.15 when runs are merged; deciding one takes 0.26 at best.
	paceRows  = 1_000_000
	pacePart  = 0.1
	paceEvery = 200 * time.Millisecond
	// sliceMin is how long the view works at a time: a tenth of what the runtime would let others wait. sliceMax is the
	// longest one that a rest is measured by: ordering a batch takes some milliseconds.
	sliceMin = time.Millisecond
	sliceMax = 10 * time.Millisecond
	// snapshotsMax bounds how often one call goes on with another Snapshot: directories are merged and segments go a few
	// times a second at most.
	snapshotsMax = 100
	// tidyAge is the longest time between two looks for dead directories and due merges; a twentieth of a span otherwise,
	// since with a short retention disk must be free as soon (R18).
	tidyAge    = time.Minute
	tidyAgeMin = 250 * time.Millisecond
	tidyPart   = 7 * 20
	// pullEvery is how often a standby looks whether the owner's archive has grown: under the heaviest load the owner
	// writes a run every few seconds, and what it merges soon need not be copied.
	pullEvery = 15 * time.Second
	// pullFor is how long further directories are copied before the archive is tidied: what is over has to leave the disk.
	pullFor = 5 * time.Minute
	// lacksTold is from which try in a row that fails on it is told that nothing is copied, lacksEvery how often.
	lacksTold  = 3
	lacksEvery = time.Hour
	// behindBytes is how much of its log a standby has wait for the owner's archive before it archives by itself: some
	// 150 million events. An owner that dies is followed by another one long before; more would be missed on the disk.
	behindBytes = 1 << 30
	// tidyErasePart is what part of the time in which erasures gather may pass before it is noticed that they have.
	tidyErasePart = 20
	// retryAfter is how long upkeep rests after an error.
	retryAfter = 5 * time.Second
	// followEvery is how often the log is looked at for those who follow it: what they are given is as old at most, and
	// reading a segment's end again, 256 KiB at most, costs 0.1 ms each time.
	followEvery = 20 * time.Millisecond
	// seatBytes bounds the rows that wait for one follower, or were taken last: 0.1 s of 100,000 messages a second. One
	// group may be larger.
	seatBytes = 4 << 20
	// seatsBytes bounds those of all followers; whose rows are beyond it catches up from log and archive.
	seatsBytes = 64 << 20
	// seatRowBytes is what a row takes there beside its texts.
	seatRowBytes = 256
	// catchUpBytes and catchUpRows bound what a follower that catches up copies before it hands it on.
	catchUpBytes = 256 << 10
	catchUpRows  = 4096
	// namesAtOnce is how many rows are looked at while the gate is held to look devices up: at 100 ns each, a seal waits
	// for 25 µs.
	namesAtOnce = 256
	// searchesMax bounds the followers that search log and archive at the same time.
	searchesMax = 4
	// sortedWithin is how long a follower may keep others from having a product sorted.
	sortedWithin = 15 * time.Minute
	// idleAfter is how long nothing comes before a follower is told how far it is.
	idleAfter = 15 * time.Second
)
