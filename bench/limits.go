package bench

import "time"

const (
	// devicesMax is the number of names with seven digits.
	devicesMax = 10_000_000
	// connectionsMax bounds the connections. Each is a producer, and reconnect uses two sets of them: fewer than an
	// account may have.
	connectionsMax = 4 << 10
	// payloadBytesMax bounds the payload of one event. The daemon accepts four times as much.
	payloadBytesMax = 64 << 10
	// casesMax bounds the cases of steady in one run. Each takes a whole window.
	casesMax = 64

	// productBytesMax leaves room in a name for the suffixes of scenarios and producers.
	productBytesMax = 48
	// roundsMax bounds the rounds of a comparison. Each takes two windows.
	roundsMax = 64

	// answerBytesMax bounds an answer to a batch. The longest has 65,536 denials of some 130 bytes.
	answerBytesMax = 16 << 20
	// answerBytesStart is the first size of a connection's receive buffer.
	answerBytesStart = 4 << 10

	// connectBatch is how many devices connect in one batch.
	connectBatch = 1000
	// connectConnections is enough for the next group to gather while one is synced.
	connectConnections = 16

	// samplesMax bounds the devices that are read back.
	samplesMax = 100_000
	// logSampleRowsMax is the most rows that a log may have to be read back.
	logSampleRowsMax = 50_000

	// readyWithin bounds how long a daemon may take to start.
	readyWithin = 10 * time.Minute
	// stopWithin bounds how long a daemon may take to stop after SIGTERM.
	stopWithin = 2 * time.Minute
	// drainWithin bounds how long the batches in flight may take at the end of a window.
	drainWithin = time.Minute
	// askWithin bounds one administrative call. Reading the log of one device scans the log of all devices.
	askWithin = 5 * time.Minute

	// latencyUnit, latencyMax and latencyDigits are range and precision of the histogram. It takes 28 KB, which stay in
	// the cache, and is at most 0.8 % off. A latency above latencyMax counts as latencyMax.
	latencyUnit   = time.Microsecond
	latencyMax    = time.Hour
	latencyDigits = 2

	// watchEvery is how often the daemon's metrics are read within a window: often enough to see every checkpoint.
	watchEvery = time.Second
	// progressEvery is how often a line of progress is printed.
	progressEvery = 5 * time.Second
	// checkpointWindow is the length from which a window should contain a checkpoint. Without one it gets a note.
	checkpointWindow = time.Minute
	// restartTraffic bounds the traffic before a kill, which is what the restart replays.
	restartTraffic = 20 * time.Second
	// otherShareQuiet is the share of the CPUs above which a result says that other processes disturbed it. An idle system
	// stays below.
	otherShareQuiet = 0.05
	// dayLeftHour is the hour in the product's time zone at which a run begins: eighteen hours before its day ends.
	dayLeftHour = 6
	// stageGap is the least time between two loads, so that the log's milliseconds tell their rows apart.
	stageGap = 5 * time.Millisecond
	// midnightRoom and midnightRoomPerDevice are the time to connect the devices before a day ends: a quarter of a million
	// devices a second.
	midnightRoom          = 3 * time.Second
	midnightRoomPerDevice = 4 * time.Microsecond
	// midnightTriesMax bounds the tries to connect in time. Each has four times the room of the one before.
	midnightTriesMax = 3
	// midnightAround is how far from midnight a stall is attributed to it.
	midnightAround = time.Second

	// clusterNodes is how many nodes the scenario cluster starts: as many as store what is acknowledged. clusterCells can
	// be spread evenly over one, two and three of them.
	clusterNodes = 3
	clusterCells = 6
	// accountsPerCell bounds the accounts that are made until each cell has one: a cell without an owner gets none.
	accountsPerCell = 4
	// clusterWindowMax bounds a window of it: a round has six, and takes a minute and a half.
	clusterWindowMax = 6 * time.Second
	// clusterWithin and clusterAskEvery bound the wait for nodes that elect owners, or hand cells over.
	clusterWithin   = time.Minute
	clusterAskEvery = 100 * time.Millisecond
	// quietEvery is how often servers are looked at that finish what they put off; below quietCores each, five
	// times what an idle node of six cells needs, they have finished. quietWithin bounds it: a note says if it was not
	// enough.
	quietEvery  = time.Second
	quietCores  = 0.25
	quietWithin = 15 * time.Second

	// peerWindowMax bounds the window of a yardstick. It needs no minute: there is no checkpoint to wait for.
	peerWindowMax = 15 * time.Second
	// peerReachEvery and peerReachTries bound the wait for a peer that says it is ready: ten seconds.
	peerReachEvery = 50 * time.Millisecond
	peerReachTries = 200
)
