package demo

import "time"

const (
	// Week is how long a demo's history is, if the raw log is kept as long.
	Week = 7 * 24 * time.Hour
	// stepMin and stepMax are how far apart the batches of a gateway are: a gateway gathers for some seconds, and CatchUp
	// wants steps of half a minute at most.
	stepMin = 10 * time.Second
	stepMax = 20 * time.Second
	// batchesAGroup is how many are decided before the disk is waited for. A producer may have 64 sequences in flight.
	batchesAGroup = 60
	// liveEvery is how often Live looks what has happened, and liveFor how long one batch may take.
	liveEvery = time.Second
	liveFor   = 5 * time.Second
	// missedMax is how much is sent at once when Live comes late: some hundred events.
	missedMax = time.Minute
	// retryMin and retryMax are how long a device that may not pass waits until it connects again.
	retryMin = 20 * time.Minute
	retryMax = 40 * time.Minute
	// arrivalTriesMax bounds the search for the next use of a device: some days.
	arrivalTriesMax = 1000
)
