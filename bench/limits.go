package bench

import "time"

const (
	// devicesMax is what the seven digits of a device's name can tell apart.
	devicesMax = 10_000_000
	// connectionsMax bounds the connections, each of which is a producer: two sets of them are fewer than an account may
	// have.
	connectionsMax = 4 << 10
	// payloadBytesMax bounds the payload of one event; the daemon takes four times as much.
	payloadBytesMax = 64 << 10
	// casesMax bounds the steady cases of one run: each takes a whole window.
	casesMax = 64

	// productBytesMax leaves room in a name for what scenarios and producers append to it.
	productBytesMax = 48
	// roundsMax bounds the rounds of a comparison, each of which takes two windows.
	roundsMax = 64

	// answerBytesMax bounds an answer to a batch: 65,536 denials of some 130 bytes are the longest.
	answerBytesMax = 16 << 20
	// answerBytesStart is what a connection reads into at first.
	answerBytesStart = 4 << 10

	// connectBatch is how many devices connect in one batch.
	connectBatch = 1000
	// connectConnections is enough for the next group to gather while one is synced.
	connectConnections = 16

	// samplesMax bounds the devices that are read back.
	samplesMax = 100_000
	// logSampleRowsMax is how many rows the log of a device may have to be read back.
	logSampleRowsMax = 50_000

	// readyWithin bounds how long a daemon may take to start.
	readyWithin = 10 * time.Minute
	// stopWithin bounds how long a daemon may take to stop after SIGTERM.
	stopWithin = 2 * time.Minute
	// drainWithin bounds how long the batches in flight may take at the end of a window.
	drainWithin = time.Minute
	// askWithin bounds one call of the administration; reading one device's log scans all of it.
	askWithin = 5 * time.Minute

	// latencyUnit, latencyMax and latencyDigits are the histogram's range and precision: 25 KB that stay cached, and at
	// most 0.8 % off. No batch takes longer than latencyMax: a window is shorter, and drainWithin follows it.
	latencyUnit   = time.Microsecond
	latencyMax    = time.Hour
	latencyDigits = 2

	// watchEvery is how often the daemon's metrics are looked at within a window: often enough to see every checkpoint.
	watchEvery = time.Second
	// progressEvery is how often a line of progress is printed.
	progressEvery = 5 * time.Second
	// checkpointWindow is the length from which a window without a checkpoint is no headline.
	checkpointWindow = time.Minute
	// restartTraffic bounds the traffic before a kill: it is what the restart replays.
	restartTraffic = 20 * time.Second
	// otherShareQuiet is the share of the CPUs that others may use before a result says so: daily jobs of a system stay
	// below it.
	otherShareQuiet = 0.05
	// dayLeftHour is the hour of the product's day at which a run begins: eighteen hours before the day ends.
	dayLeftHour = 6
	// stageGap lies between two loads at least, so that the log's milliseconds tell their rows apart.
	stageGap = 5 * time.Millisecond
	// midnightRoom and midnightRoomPerDevice are left for connecting the devices before a day ends: a quarter of a million
	// a second.
	midnightRoom          = 3 * time.Second
	midnightRoomPerDevice = 4 * time.Microsecond
	// midnightTriesMax is how often it is tried, each time with four times the room: 48 seconds at last.
	midnightTriesMax = 3
	// midnightAround is how far from midnight a stall is taken for its.
	midnightAround = time.Second

	// peerWindowMax is long enough for a yardstick, which has no checkpoints to wait for.
	peerWindowMax = 15 * time.Second
	// peerReachEvery and peerReachTries bound the wait for a peer that says it is ready: ten seconds.
	peerReachEvery = 50 * time.Millisecond
	peerReachTries = 200
)
