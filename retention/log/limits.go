package log

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// GroupBytesMax bounds head and chunks of one group: a reader holds a whole group in memory.
	GroupBytesMax = 128 << 20
	// HeadBytesMax bounds the head of a group: whoever reads a group unpacks its head at once.
	HeadBytesMax = 16 << 20
	// ChunksMax bounds the chunks of a group, so that its frame header fits in one page and its write in one pwritev
	// (the kernel takes 1024 pieces).
	ChunksMax = 256
	// SegmentBytesMin and SegmentBytesMax bound Options.SegmentBytes: a segment holds a header page and some groups, and
	// recovery reads the last one whole.
	SegmentBytesMin = 64 << 10
	SegmentBytesMax = 1 << 30
	// ReadersMax bounds calls of ReadBack, ReadForward, ChainOf and Replay that read at the same time: each has a file
	// open.
	ReadersMax = 16

	// segmentBytesDefault: recovery reads 64 MiB in some 50 ms, and at 50 MB/s a segment lasts for a second, which is
	// long enough to write the next one full of zeroes.
	segmentBytesDefault = 64 << 20
	// smallPart is the part of SegmentBytes that a segment gets while little is logged: the first one of a log, and the
	// one after a segment that was ended by its age and had used less than half. An idle daemon keeps 4 MiB.
	smallPart     = 16
	smallBytesMin = 4 * pageBytes
	// sparesMax bounds prepared files: one to go on with at once, one more so that a released segment is recycled and
	// not removed.
	sparesMax = 2
	// zeroBytes is one step of writing zeroes: a commit's sync waits for one step at most, 1 ms on a disk of 1 GB/s.
	zeroBytes = 1 << 20

	// stagedBytes: smaller groups are copied to one piece in about a microsecond, which is what the list of pieces of a
	// pwritev costs to allocate.
	stagedBytes = 16 << 10

	// indexBytes is the distance of two entries of a segment's index: a reader reads so much to find its group.
	indexBytes = 256 << 10
	// indexesMax bounds the indexes in memory, of 8 KiB each at 64 MiB a segment, beside that of the open segment.
	indexesMax = 64
	// readBytes is what readers read at once; the reused buffers of a Block have this size.
	readBytes = 256 << 10
	// blockBufferBytesMax bounds the buffers that a Block keeps for the next call. Larger groups are rare.
	blockBufferBytesMax = 1 << 20

	// rescansMax is how often the end of a log that somebody may be writing is looked for again: whoever writes takes some
	// hundred microseconds for a group, and reading its last segment takes 50 ms.
	rescansMax = 5

	// replayBatchBytes bounds what Replay reads ahead, replayBatches times, unless a group is larger. Of the smallest
	// groups a batch has 24,000, which are 2 MiB beside it; of those of 256 KiB it reads one in eight twice.
	replayBatchBytes = 2 << 20
	replayBatches    = 3

	// spansARetention is how many segments by age a retention has: disk is free a seventh after it (R18).
	spansARetention = 7
	// spanMin is the shortest age at which a segment is ended.
	spanMin = time.Second
	// proveBytes is what Prove reads at once, so that whoever waits for the disk does not wait for long.
	proveBytes = 1 << 20
)
