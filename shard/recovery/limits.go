package recovery

const (
	// upgradesPendingMax bounds the OTAs with ids in memory, some 200 bytes each, while the ledger lacks their groups.
	upgradesPendingMax = 1 << 19
	// letGoASeal bounds how many ids memory lets go of at a seal: about a millisecond.
	letGoASeal = 4096
	// findBatch is how many devices are looked up at once, so that their cache misses overlap.
	findBatch = 256
	// cutImageBytes bounds the images of the shards of which a cut makes one table: 600,000 devices, whose table takes 1.4
	// times as much. Each range reads the log behind the checkpoint once more.
	cutImageBytes = 48 << 20
	// followBytes is what a joiner that follows the log reads of it at once.
	followBytes = 1 << 20
	// decodedBytesKept bounds the memory of a decoded group that is kept for another one. Larger groups are rare.
	decodedBytesKept = 4 << 20
)
