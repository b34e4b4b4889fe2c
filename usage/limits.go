package usage

import "time"

const (
	// licenseBlockRows is how many licence rows one entry of the ledger holds at most: what a page of a list reads.
	licenseBlockRows = 1000
	// transactionBytes is how much is gathered before a transaction is written: half of what one takes for certain.
	transactionBytes = 512 << 10
	// rowBytes is what a row counts beside its bytes: a key and an entry of Badger's.
	rowBytes = 64
	// endedMax bounds the totals that are remembered, some 200 bytes each: two months of a thousand products by days.
	endedMax = 64 << 10
	// totalsRowBytes is about what a row of totals counts: its key, twelve numbers, and rowBytes.
	totalsRowBytes = rowBytes + 64
	// dayBlockRows is how many device-days a block holds at most: some 15 KB, which a look at one device inflates.
	dayBlockRows = 4096
	// planeInflatedMax bounds what a plane of a block is inflated to; one has dayBlockRows bytes at most.
	planeInflatedMax = 64 << 10
	// closedBytes is about what a closed word comes to in a block.
	closedBytes = 16
	// mergeRows is how many device-days are merged at a time: they take 24 bytes each, and twice as many are there at
	// once. One call of Apply stops when it has merged as many, after 0.3 s, so that it merges less than twice as many:
	// the end of the daemon and the free space are looked at in between.
	mergeRows = 128 * dayBlockRows
	// mergeLookRows is what a look for rows to merge counts beside them: some 100 µs.
	mergeLookRows = 256
	// readRows is how many device-days a reader gathers at a time.
	readRows = 4 * dayBlockRows
	// dropKeys is how many blocks of level 0 are deleted together at most: 21 bytes each in memory, and 50 ms.
	dropKeys = 20_000
	// maintainEvery is how often the ledger gives back space: a step looks at 50,000 rows and proves one table, which is a
	// hundredth of a processor and ten megabytes a second at most.
	maintainEvery = 10 * time.Second
	// upgradesKept is how long OTA ids are kept: until the end of the month after theirs (R17), in any time zone.
	upgradesKept = 64 * 24 * time.Hour
	// answersKept is how long answers are kept: sequences are remembered for 24 hours.
	answersKept = 25 * time.Hour
)
