package archive

import "time"

// EraseAfterDefault is how long erasures gather: it leaves two hours of a day for the rewriting, which takes some
// minutes for a billion events.
const EraseAfterDefault = 22 * time.Hour

// Every bound of the package, each with the reason for its size.
const (
	// blockBytes ends a block of rows, so that it has 32 KiB at most whatever its last rows are. A larger block would
	// compress a little better, and be read whole for a few rows.
	blockBytes = 28 << 10
	// rowBytes is what a row counts towards blockBytes beside its texts, until the columns are measured: every
	// measureRows rows, whose numbers have 4 KiB at most.
	rowBytes    = 14
	measureRows = 64
	// settleRows is how many rows of a device are put in order by insertion, which is fastest for few. Steps grow with the
	// square of the rows, and one device may have a million in a group.
	settleRows = 64
	// blockRowsMax bounds the rows of a block, which a reader may have to skip: at 15 ns each 0.1 ms.
	blockRowsMax = 8192
	// rowsBytesMax bounds a raw block of rows as it is inflated: what blockRowsMax rows of the largest numbers take.
	rowsBytesMax = 4 << 20
	// blockPayloadBytes ends a block by its payloads; the last one may have 256 KiB. So what is read for one entry is
	// bounded, and what compresses together is enough for one device's payloads to find each other.
	blockPayloadBytes = 128 << 10
	payloadBytesMax   = blockPayloadBytes + 256<<10
	// windowBytes is how far back zstd looks: a whole block of payloads.
	windowBytes = 512 << 10

	// batchRows is when a batch in memory is ordered and packed: it fits a processor's second cache.
	batchRows = 1 << 17
	// batchRowsMore is for how many rows more there is memory at once: those of the group that fills the batch.
	batchRowsMore = batchRows / 4
	// packedRows ends a block of a batch in memory, so that a reader who wants a row of each of some thirty batches
	// decodes few others: 15 µs.
	packedRows = 1 << 10
	// packedBlockBytes is what such a block takes beside its bytes.
	packedBlockBytes = 72
	// batchRowsMax bounds a batch that one group makes longer; a row's number has 24 bits while it is ordered.
	batchRowsMax = 1<<24 - 1
	// batchBytes is when a batch of large texts and payloads is ordered.
	batchBytes = 8 << 20
	// memoryBytes is what rows may take in memory before a run is written: about 15 bytes each, beside their payloads.
	memoryBytes = 48 << 20
	// memoryRowBytes is what one row takes beside its texts until its batch is packed.
	memoryRowBytes = 40

	// lateExpiry is how long an entry stays that is over when it is written: writing a directory takes minutes at most.
	lateExpiry = time.Hour

	// spansARetention is how many spans a retention has: disk is free a seventh after it (R18).
	spansARetention = 7
	// runsASpan is how many runs by age a span has: an hour each, of a day.
	runsASpan = 24
	runAgeMax = time.Hour
	runAgeMin = time.Second
	// mergeRuns is when runs of a span are merged before it is over: under heavy load memory is full every few seconds,
	// and every directory is one more place to look at.
	mergeRuns = 32
	// lateRuns is mergeRuns of an archive that copies another one, which has that done as a rule.
	lateRuns = 2 * mergeRuns
	// lateErasePart is by what part of the time in which erasures gather such an archive waits longer before it rewrites
	// by itself: an hour, in which 100 GB are copied. So much more a day still holds.
	lateErasePart = 22
	// sendBytes is how much of a file is copied at once.
	sendBytes = 256 << 10
	// copyFilesMax bounds the files of a directory that is copied: tables of 8 MiB each, of a terabyte.
	copyFilesMax = 1 << 17
	// earlyPart is which part of Options.BytesMax a merge makes at most: so much goes early at once.
	earlyPart = 8
	// readAheadBytes is what a merge copies of a run at once: 4 MiB of 32 runs.
	readAheadBytes = 128 << 10
	// deviceBytes is how much of one device in one directory is sorted in memory with what others have of it; of a device
	// with more they are written one behind the other. So a merge holds a block of each directory, and as much as this:
	// some 4 MiB for 32 runs of rows without payloads, 32 MiB with the largest.
	deviceBytes = 256 << 10
	// openMax bounds the directories that are open for reading: seven spans of two values of log days, and the runs. Each
	// takes 32 bytes an entry: 1 MB a day of a billion events a week.
	openMax = 96

	// newestFrom is how many rows a product must have in a directory to have its newest ones kept once more: fewer are
	// read in a few blocks.
	newestFrom = 8 << 10
	// newestPart of a product's rows are kept once more at most, newestRowsMax of them, and of newestBytesMax bytes of
	// texts and payloads: a page of a hundred comes from them, and they cost next to nothing.
	newestPart     = 64
	newestRowsMax  = 1024
	newestBytesMax = 2 << 20

	// sortBytes is what rows may take in memory while they are sorted for a reader. Of a day of a billion events a week
	// they are written to the disk some 300 times.
	sortBytes = 24 << 20
	// sortRowBytes is what one row takes there beside its texts.
	sortRowBytes = 56
	// sortMs bounds the decided times of what is sorted at once: a sorter counts them in 32 bits.
	sortMs = 1 << 31
	// piecesMax bounds the sorted pieces that are read at once: each has a block in memory, 160 KiB as a rule.
	piecesMax = 96
	// pieceWriteBytes is how much of a sorted piece is written at once.
	pieceWriteBytes = 256 << 10
	// sortRoom must be free before a reader's rows are sorted on the disk; it is looked at again as they are written.
	sortRoom = 256 << 20
	// scanBytes is what a scan of a product copies at once.
	scanBytes = 1 << 20
	// giveRows is how many rows are given between two looks whether the reader still wants any.
	giveRows = 256
	// ownersAtOnce is how many ordinals are looked up at once, at some 30 ns each.
	ownersAtOnce = 4096

	// announcedMin and announcedMax are how many directories a query has the disk read at once: few at first, since a page
	// may need no more, then twice as many each time.
	announcedMin = 4
	announcedMax = 32

	// memTableBytes is the least that lets a value of 1 MiB stand beside its key: the arena of a writable directory,
	// which a bulk load does not use.
	memTableBytes = 8 << 20
	// baseTableBytes makes tables of 32 times as much: Badger writes a bulk load to its last level, and builds a table in
	// memory.
	baseTableBytes = 256 << 10
	// valueLogBytes is Badger's least: nothing is written there.
	valueLogBytes = 1 << 20
	// loadBytes is how much is handed to Badger at once.
	loadBytes = 1 << 20

	// manifestBytesMax bounds the manifest: a million products of which every one has log days of its own.
	manifestBytesMax = 16 << 20
	// What a directory takes at most, a part more, and spaceMin must be free before it is written: Badger maps its files,
	// and without room a mapped write ends the process.
	spacePart = 4
	spaceMin  = 16 << 20
	// restBlocks is how many blocks are packed in memory, or read back, between two rests.
	restBlocks = 8
)
