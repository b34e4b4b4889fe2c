package ingest

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// connLimit bounds the connections that are open at a time, of loops and of fasthttp together. The log needs a
// descriptor for its next file and ends the process if there is none, so connections must never take the last ones.
type connLimit struct {
	max     int64
	open    atomic.Int64
	refused atomic.Uint64
}

// newConnLimit returns the limit for this process: its limit of descriptors, less what files need.
func newConnLimit() (*connLimit, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("read the limit of descriptors: %w", err)
	}
	return &connLimit{max: connsFor(limit.Cur)}, nil
}

func connsFor(descriptors uint64) int64 {
	n := int64(min(descriptors, 2*connectionsMax+descriptorsKept))
	return n - min(max(n/2, min(n*3/4, descriptorsLeast)), descriptorsKept)
}

// acquire counts a new connection and returns true, or returns false if the limit is reached. Whoever closes the
// connection calls release.
func (l *connLimit) acquire() bool {
	if l.open.Add(1) <= l.max {
		return true
	}
	l.open.Add(-1)
	l.refused.Add(1)
	return false
}

func (l *connLimit) release() { l.open.Add(-1) }
