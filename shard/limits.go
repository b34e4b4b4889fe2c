package shard

import "time"

const (
	// daysTick is how often it is looked whether a product's day is over: some 20 ns a product.
	daysTick = time.Second
	// daysRetryAfter is how long the closing of days rests that failed: each try may search the whole device table.
	daysRetryAfter = time.Minute
	// groupBytesMax bounds what is gathered for one group: the commit log takes 128 MiB, and one batch alone is at most 64
	// MiB of body and 65,536 rows.
	groupBytesMax = 48 << 20
	// rowBytes is what an event needs beside its body, at most: names bound twice, a grant, a session, closed words.
	rowBytes = 200
	// lanesMax bounds the lanes: a group has a chunk of each, and one more for every chunkBytesMax; the log takes 256.
	lanesMax = 128
	// groupBytesBig ends the wait for the committer: a group of this size is worth encoding while the one before it is
	// synced.
	groupBytesBig = 256 << 10
	// gatherMax is how long after a large group the next one of a cell is gathered. A group costs the nodes of a cluster
	// some 4 ms of processor time together, as much as 8,000 events at their owner; and what is answered under such a load
	// takes longer than 4 ms anyway.
	gatherMax = 4 * time.Millisecond
	// gatherFromBytes is the size of such a large group: some 250 events or more in a millisecond.
	gatherFromBytes = 64 << 10
	// gatherBytesMax is groupBytesBig for a cell: some 18,000 events. More of them hardly make an event cheaper, and are
	// better decided while the group before is stored.
	gatherBytesMax = 4 << 20
	// forgottenTriesMax bounds how often a request begins anew because its producer was deleted meanwhile.
	forgottenTriesMax = 3
	// sweepRowsATurn is how many session words a sweep writes before it lets a seal pass: about two milliseconds.
	sweepRowsATurn = 1000
	// closeDevicesATurn is how many devices' words a scan of days that are over logs before it lets a seal pass: about a
	// tenth of a millisecond.
	closeDevicesATurn = 4096
	// closeWordsAhead is how many words a scan logs before it waits for the disk: about what makes a group worth encoding.
	closeWordsAhead = 16 << 10
	// closedBytes is what a device's two closed words take in a group at most, and a day's end of a product.
	closedBytes = 2 * 16
	// sweepRetryAfter is how long a sweep rests that found no room.
	sweepRetryAfter = time.Second
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
	// freeTotalsALane is how many products' totals a lane keeps the memory of from group to group, some 200 bytes each.
	freeTotalsALane = 4096
	// NoteBytesMax is the longest note: two bytes for each event of a batch, and as many again.
	NoteBytesMax = 256 << 10
	// growBytesMax is what a seal may copy to grow the table: 4 MiB take about 2 ms, and a stall may be 20 ms.
	growBytesMax = 4 << 20
	// enterTriesMax bounds how often a request waits for a cut to make room for it; each one that fails means that others
	// took the room first.
	enterTriesMax = 1000
	// findBatch is how many devices are looked up at once, so that their cache misses overlap.
	findBatch = 256

	// checkEventsAHold is how many events of a check are decided before it lets a seal pass: one or two milliseconds.
	checkEventsAHold = 4096

	// lookAgainMax bounds how often a request looks ids up again that memory let go of meanwhile, which it does about
	// once a second.
	lookAgainMax = 16

	// adminWaitingMax bounds the administrative calls in hand; those beyond wait. Each waits for one group.
	adminWaitingMax = 256
	// adminChangesASeal bounds the changes that are decided at one seal, with the gate closed: some 10 µs each.
	adminChangesASeal = 64
	// changesBytesMax ends the changes of one seal, which the group's head holds: the next one comes in the next group.
	// The largest is a product with 10,000 names that are excepted from renewal, 670 KB.
	changesBytesMax = 4 << 20

	// erasuresASeal bounds the erasures that one change drops, 5 µs each with the gate closed; there is one a checkpoint's
	// turn.
	erasuresASeal = 100

	// checkpointRowsMax makes a checkpoint due: replaying more takes longer than five seconds. Joining a row among ten
	// million devices takes 70 to 90 ns of a core, decoding it 15, and several cores share both: 17 M rows a second.
	checkpointRowsMax = 85_000_000
	// ledgerWait is how long a standby that has no memory for what its ledger lacks rests before it looks again.
	ledgerWait = 100 * time.Millisecond
	// cutMax bounds how long a cut holds the log and a checkpoint: ten million devices take half a minute.
	cutMax = 10 * time.Minute
	// leapMax is how far the wall clock may run ahead of the monotonic one before ingest stops (R12).
	leapMax = time.Hour
)
