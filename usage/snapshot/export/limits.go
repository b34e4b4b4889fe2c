package export

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// retryMin and retryMax bound how long a failed export waits; a place that is back is found within five minutes.
	retryMin, retryMax = time.Second, 5 * time.Minute
	// A file has putMin, and putAByte for each of its bytes, which is 256 KiB a second: what takes longer hangs.
	putMin   = 10 * time.Minute
	putAByte = time.Second / (256 << 10)
	// partBytes is how large the parts of a large object are; one is in memory at a time. A store takes 10,000 parts, so a
	// file may have 160 GB.
	partBytes = 16 << 20
	// triesMax is how often a request is tried before the export as a whole waits.
	triesMax = 3
	// manifestBytesMax bounds the manifest that is read back; one has some 1500 bytes.
	manifestBytesMax = 64 << 10
)
