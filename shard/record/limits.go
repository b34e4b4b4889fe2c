package record

const (
	// columnBytesKept is the largest column whose memory a Builder keeps: one batch of large payloads must not hold 64 MiB
	// for ever in every lane.
	columnBytesKept = 4 << 20
	// plainBytesMax is the largest chunk that is stored as it is. Compressing one takes 20 to 40 µs, which is a tenth of
	// what a group of a few dozen events costs, to save bytes in a page that is written whole anyway.
	plainBytesMax = 4 << 10
	// RawBytesMax bounds a chunk when it is inflated again: a lane is cut into chunks after the batch that passes 4 MiB,
	// and a batch brings at most 64 MiB of body with at most 65,536 rows of less than 1 KiB beside their payloads.
	RawBytesMax = 192 << 20
	// quotaPlaces bounds the numbers of quotas that are remembered while a chunk is written or read: 1.5 KiB. Gateways
	// mix the devices of a few products in a request; of more some are written again.
	quotaPlaces = 64
	// windowBytes is how far back zstd looks for a match. An encoder holds twice as much, 2 MiB instead of the 8 of its
	// default; what repeats in a chunk of 4 MiB does so within a column.
	windowBytes = 1 << 20
)
