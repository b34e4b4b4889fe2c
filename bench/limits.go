package bench

import "time"

const (
	// devicesMax is what the seven digits of a device's name can tell apart.
	devicesMax = 10_000_000
	// connectionsMax is what the daemon serves at most.
	connectionsMax = 16 << 10
	// payloadBytesMax bounds the payload of one event; the daemon takes four times as much.
	payloadBytesMax = 64 << 10
	// casesMax bounds the steady cases of one run: each takes a whole window.
	casesMax = 64

	// answerBytesMax bounds an answer to a batch: all accepted is less than a hundred bytes, and a refusal is read for its reason only.
	answerBytesMax = 1 << 20
	// answerBytesStart is what a connection reads into at first.
	answerBytesStart = 4 << 10
	// bodyBytesAdminMax bounds what the administration and /metrics may answer.
	bodyBytesAdminMax = 64 << 20

	// activateBatch is how many devices connect in one batch.
	activateBatch = 1000
	// activateConnections is enough for the next group to gather while one is synced.
	activateConnections = 16

	// samplesMax bounds the devices that are read back.
	samplesMax = 100_000
	// logSampleRowsMax bounds the rows of a device's log that are read back.
	logSampleRowsMax = 1_000_000

	// readyWithin bounds how long a daemon may take to start.
	readyWithin = 10 * time.Minute
	// stopWithin bounds how long a daemon may take to stop after SIGTERM.
	stopWithin = 2 * time.Minute
	// drainWithin bounds how long the batches in flight may take at the end of a window.
	drainWithin = time.Minute
	// askWithin bounds one call of the administration; reading one device's log scans all of it.
	askWithin = 5 * time.Minute

	// watchEvery is how often the daemon's metrics are looked at within a window: often enough to see every checkpoint.
	watchEvery = time.Second
	// progressEvery is how often a line of progress is printed.
	progressEvery = 5 * time.Second
	// checkpointWindow is the length from which a window without a checkpoint is no headline.
	checkpointWindow = time.Minute
	// restartTraffic bounds the traffic before a kill: it is what the restart replays.
	restartTraffic = 20 * time.Second
	// otherShareQuiet is the share of the CPUs that others may use before a result says so: daily jobs of a system stay below it.
	otherShareQuiet = 0.05
	// dayLeftHour is the hour of the product's day at which a run begins: eighteen hours before the day ends.
	dayLeftHour = 6
)
