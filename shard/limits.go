package shard

import "time"

const (
	// groupBytesMax bounds what is gathered for one group: the commit log takes 128 MiB, and one batch alone is at most 64
	// MiB of body and 65,536 rows.
	groupBytesMax = 48 << 20
	// rowBytes is what an event needs beside its body, at most: names bound twice, a grant, a session, closed words.
	rowBytes = 200
	// groupBytesBig ends the wait for the committer: a group of this size is worth encoding while the one before it is
	// synced.
	groupBytesBig = 256 << 10
	// forgottenTriesMax bounds how often a request begins anew because its producer was deleted meanwhile.
	forgottenTriesMax = 3
	// sweepRowsATurn is how many session words a sweep writes before it lets a seal pass.
	sweepRowsATurn = 4096
	// chunkBytesMax cuts a lane into chunks: readers inflate one at a time.
	chunkBytesMax = 4 << 20
	// encodeBytesSmall is the largest chunk that is compressed where it is found: it takes 13 µs, hardly more than a
	// goroutine on another core takes to come to it.
	encodeBytesSmall = 16 << 10
	// buffersALane is how many chunks' memory is kept: raw and stored ones, of the group that is encoded and of the one
	// that is synced.
	buffersALane = 4
	// bufferBytesKept is the largest that is kept: that of a chunk without large payloads.
	bufferBytesKept = 2 * chunkBytesMax
	// growBytesMax is what a seal may copy to grow the table: 4 MiB take about 2 ms, and a stall may be 20 ms.
	growBytesMax = 4 << 20
	// enterTriesMax bounds how often a request waits for a cut to make room for it; each one that fails means that others
	// took the room first.
	enterTriesMax = 1000
	// findBatch is how many devices are looked up at once, so that their cache misses overlap.
	findBatch = 256

	// licenseRowsMax bounds the licence rows that wait for the ledger; the committer waits when they are more.
	licenseRowsMax = 1 << 20
	// licenseRowsMany are written before their time: while a million devices are activated, 30 MiB of rows and of slices
	// that grew would wait.
	licenseRowsMany = 1 << 16
	// licenseBlockRows is how many rows one ledger entry holds at most: what a page of a licence list reads.
	licenseBlockRows = 1000
	// ledgerFlushEvery is how long licence rows may wait; a reader or a checkpoint does not wait for it.
	ledgerFlushEvery = time.Second

	// checkpointRecordsMax makes a checkpoint due: replaying more would take longer than a restart may. Joining a row
	// among ten million devices takes 70 to 90 ns of a core, decoding it 15, and several cores share both.
	checkpointRecordsMax = 100_000_000
	// leapMax is how far the wall clock may run ahead of the monotonic one before ingest stops (R12).
	leapMax = time.Hour
)
