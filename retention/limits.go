package retention

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// GroupBytesMax bounds head and chunks of one group. It is half of commitValueLogBytes, so that a group never makes
	// Badger enlarge a value log file that is being read: it remaps the file without a lock there (value.go, write).
	GroupBytesMax = 128 << 20
	// ChunksMax bounds the chunks of a group: keys and chunks of less than commitValueThresholdBytes count against a
	// transaction's size.
	ChunksMax = 256
	// HeadBytesMax bounds the head of a group: replay and scan hold it in memory before a chunk is looked at.
	HeadBytesMax = 16 << 20
	// LedgerTransactionBytesMax is what one Write takes for certain, keys and values together with 32 bytes an entry.
	LedgerTransactionBytesMax = 1 << 20
	// LedgerTransactionEntriesMax is how many entries one Write takes for certain.
	LedgerTransactionEntriesMax = 10_000
	// LedgerKeyBytesMax bounds a key: Badger's own limit is 65,000 with its suffixes.
	LedgerKeyBytesMax = 60_000
	// LedgerValueBytesMax bounds a value of the ledger; as with groups, half of a value log file.
	LedgerValueBytesMax = 32 << 20
	// ScansMax bounds scans at a time, and with them the commit directories open for reading: each costs a few MiB, file
	// descriptors and a dozen goroutines.
	ScansMax = 4

	// commitValueThresholdBytes and ledgerValueThresholdBytes decide what goes to the value log: written once, never
	// compacted. What a small group has stays out of it, since then only the memtable's file is dirty: a sync takes 170 µs
	// instead of 230.
	commitValueThresholdBytes = 4 << 10
	ledgerValueThresholdBytes = 1 << 10
	// commitMemTableBytes and ledgerMemTableBytes are small because each writable instance holds an arena of it and a
	// third more, and one that is full stays until the garbage collector comes. Badger's limit of a transaction is 15 % of
	// it: 1.2 MiB and 13,000 entries, of which a value that goes to the value log counts 12 bytes.
	commitMemTableBytes = 8 << 20
	ledgerMemTableBytes = 8 << 20
	// commitValueLogBytes is when a value log file is ended. Badger walks the newest one at every open, so it stays small.
	commitValueLogBytes = 256 << 20
	ledgerValueLogBytes = 64 << 20
	// manifestScanBytes bounds the search for the end of a manifest record whose length is damaged: one record names a
	// flushed table or the tables of a compaction, some hundred bytes.
	manifestScanBytes = 64 << 10
	// indexCacheBytes bounds table indexes in memory; 0 would keep all of them there.
	indexCacheBytes = 16 << 20

	// spanMin is the shortest span of a directory: opening and closing one costs some ten milliseconds.
	spanMin = 10 * time.Second
	// spansARetention is how many spans a retention has: disk is free a seventh after it (R18).
	spansARetention = 7
	// dirBytesMaxDefault ends a directory before its span: dropping it removes at most this at once.
	dirBytesMaxDefault = 8 << 30
	// idleDefault is how long a directory that nobody reads stays open.
	idleDefault = time.Minute

	// replayBatchBytes and replayBatchGroups bound what replay reads ahead, three batches of it, so that its memory does
	// not depend on the size of groups; a batch amortises the hand-over of groups of one event.
	replayBatchBytes  = 4 << 20
	replayBatchGroups = 256
)
