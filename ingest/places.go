package ingest

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// places bounds the connections that are open at a time, whoever looks after them, so that the log always finds a
// descriptor for its next file: it ends the process when it does not.
type places struct {
	most    int64
	taken   atomic.Int64
	refused atomic.Uint64
}

// newPlaces returns as many places as this process may have descriptors, less what it keeps for files.
func newPlaces() (*places, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("ask how many descriptors there may be: %w", err)
	}
	return &places{most: placesOf(limit.Cur)}, nil
}

func placesOf(descriptors uint64) int64 {
	n := int64(min(descriptors, 2*connectionsMax+descriptorsKept))
	return n - min(max(n/2, min(n*3/4, descriptorsLeast)), descriptorsKept)
}

// take reports whether there was a place.
func (p *places) take() bool {
	if p.taken.Add(1) <= p.most {
		return true
	}
	p.taken.Add(-1)
	p.refused.Add(1)
	return false
}

func (p *places) giveBack() { p.taken.Add(-1) }
