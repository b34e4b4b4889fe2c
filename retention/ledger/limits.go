package ledger

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// TransactionBytesMax is what one Write takes for certain: keys and values together with entryOverheadBytes each.
	TransactionBytesMax = 1 << 20
	entryOverheadBytes  = 32
	// TransactionEntriesMax is how many entries one Write takes for certain.
	TransactionEntriesMax = 10_000
	// KeyBytesMax bounds a key: Badger's own limit is 65,000 with its suffixes.
	KeyBytesMax = 60_000
	// ValueBytesMax bounds the values of one Write. It is half of a value log file, so that a transaction never makes
	// Badger enlarge a file that is being read: it maps the file anew without a lock there (value.go, write).
	ValueBytesMax = valueLogBytes / 2

	// valueThresholdBytes decides what goes to the value log: it is written once, not again with each compaction.
	valueThresholdBytes = 1 << 10
	// memTableBytes is small because a writable instance holds an arena of it and a third more. Badger's limit of a
	// transaction is 15 % of it: 1.2 MiB and 13,000 entries, of which a value that goes to the value log counts 12 bytes.
	memTableBytes = 8 << 20
	// valueLogBytes is when a value log file is ended. Badger walks the newest one at every open, and gives space back
	// by whole files, so it stays small.
	valueLogBytes = 64 << 20
	// indexCacheBytes bounds table indexes in memory; 0 would keep all of them there.
	indexCacheBytes = 16 << 20

	// manifestScanBytes bounds the search for the end of a manifest record whose length is damaged: one record names a
	// flushed table or the tables of a compaction, some hundred bytes.
	manifestScanBytes = 64 << 10
	// indexBytesMax bounds what is read as the index of a table: Badger's largest tables have less than a megabyte of it.
	indexBytesMax = 64 << 20

	// farAwaySeconds is added to when a row's time is over: the year 36,000, and one byte more a row.
	farAwaySeconds = 1 << 40

	// copiesMax is how often a directory that is written meanwhile is copied until its tables stand still: one that is
	// busy writes a table every few seconds.
	copiesMax = 10
	// copyBytes is what OpenCopy reads at once, and the length of the holes that it leaves.
	copyBytes = 64 << 10

	// closeFailedMax is how long Badger may take to close after a failure: a memtable of 8 MiB is flushed in milliseconds,
	// and one that cannot be is tried for ever.
	closeFailedMax = 5 * time.Second

	// maintainRows is how many rows one Maintain looks at: some 20 ms of one processor.
	maintainRows = 50_000
	// maintainKeyBytes bounds the keys that one Maintain holds until it deletes them, in one transaction.
	maintainKeyBytes = TransactionBytesMax / 2
	// rewriteRatio is how much of a value log file must be garbage before the rest of it is written again.
	rewriteRatio = 0.5
)
