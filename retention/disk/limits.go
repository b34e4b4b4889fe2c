package disk

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// SectionBytesMax bounds a section of a checkpoint: readers hold one in memory.
	SectionBytesMax = 4 << 20

	// sealedBytesMax bounds the small text files; what is larger is none of ours.
	sealedBytesMax = 4 << 10

	// checkpointCopiesMax is how often the newest checkpoint of a running daemon is copied until it was not removed
	// meanwhile: they come seconds apart at most, and 10 million devices are copied in one.
	checkpointCopiesMax = 10

	// removeBytes and removeEvery are the steps in which large files are removed: 1.3 GB a second at most.
	removeBytes = 4 << 20
	removeEvery = 3 * time.Millisecond

	// stopBytesDefault stops ingest. It leaves room for the checkpoint of eight million devices (about 100 bytes each),
	// the memtables to be flushed (16 MiB) and a second of commit log between two looks; Guard.Reserve raises it with the
	// state.
	stopBytesDefault = 1 << 30
	// flushBytes is what a running daemon writes beside its checkpoint to come to rest: memtables flushed, a compaction of
	// them, the log of the groups in hand. Half of it is for administration while ingest is stopped: tens of thousands of
	// changes, and somebody sees to a full disk long before.
	flushBytes = 256 << 20
	// ballastBytesDefault is given up to open on a full disk; openBytes is what opening writes: both memtables, flushed.
	ballastBytesDefault = 64 << 20
	openBytes           = 48 << 20
	// ballastRetryAfter is how long a ballast that could not be made rests: a try may write all of it.
	ballastRetryAfter = time.Minute
	// trendOver is how far back measurements of the rooms are kept for the trend: a day has its own rhythm. trendFrom is
	// how far they must reach back: a merge of the archive comes and goes in less.
	trendOver = 24 * time.Hour
	trendFrom = 30 * time.Minute
	hoursADay = 24
	// blockBytes is the unit in which the kernel counts what a file takes.
	blockBytes = 512
	// measureFailsMax is how long the free space may stay unknown: a network file system may miss a few looks, but longer
	// than this the disk could fill up unseen.
	measureFailsMax = time.Minute
)
