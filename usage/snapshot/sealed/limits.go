package sealed

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// batchRows is how many rows pass to the writers of the formats at a time, and batches how many lots of them are on
	// the way: some 3 MB, of 170 bytes a row and names of 64 bytes at most.
	batchRows, nameBytesMax = 2048, 64
	batches                 = 8
	// rowGroupRows bounds a row group of Parquet, which the writer holds in memory: 10 to 20 MB. Readers like groups of
	// 100,000 rows and more.
	rowGroupRows = 128 << 10
	// writeBytes is how much is written to a file at a time, whole pages: the next sync of the log waits behind three of
	// them at most.
	writeBytes = 1 << 20
	// roomEvery is after how much somebody looks at the free space again, and aheadBytes what may be written before: three
	// files grow at a time.
	roomEvery  = 16 << 20
	aheadBytes = 3 * roomEvery
	// readBytes is how much is read at a time of a file that gets other names.
	readBytes = 256 << 10
	// rowBytes is what a device takes in the three files: 132 + 326 + 13 measured with names of 15 bytes.
	rowBytes = 480
	// manifestBytesMax bounds a manifest, which is read whole; one has some 1500 bytes. positionsBytesMax bounds the file
	// of positions, which has a line for each place of export.
	manifestBytesMax, positionsBytesMax = 64 << 10, 64 << 10
	// snapshotsMax bounds the snapshots of a daemon, whose manifests are in memory: 1500 bytes each, a daily one for a
	// century.
	snapshotsMax = 100_000
	// waitingMax and waitMax bound the requests that wait while another snapshot is made, which takes half a minute for
	// ten million devices.
	waitingMax = 8
	waitMax    = time.Minute
	// lineBytesMax bounds a line of the sealed files: names of 64 bytes, times and numbers.
	lineBytesMax = 8 << 10
	// scheduleEvery is how often the schedule looks whether a day is over; retryMin and retryMax bound how long it waits
	// after a snapshot that could not be made.
	scheduleEvery      = 15 * time.Second
	retryMin, retryMax = time.Minute, time.Hour
	// retryFirst is the first pause before the audit log is read again at the start: its view catches up within a second.
	retryFirst = 200 * time.Millisecond
	// keepEvery is how often a node of a cluster looks whether administration has changed something: whoever makes a
	// snapshot waits for it. It is a comparison of two numbers.
	keepEvery = 100 * time.Millisecond
	// fetchRetryMin and fetchRetryMax bound how long a node waits before it tries again to copy a snapshot that it lacks:
	// who has just sealed it may have another place to give first, and what was moved away everywhere is nowhere. So
	// long it also waits after it could not remove one.
	fetchRetryMin, fetchRetryMax = time.Second, 5 * time.Minute
	// monthsMissedMax bounds the months that are made up for after the daemon was down: the usage of older ones is no
	// longer kept.
	monthsMissedMax = 13
)
