package log

import (
	"errors"
	"fmt"
)

// Chain is the hash of a group's header: xxh3-128 of its sequence, times, lengths and hashes, and of the Chain of the
// group before. So it stands for the whole log up to its group, in whatever segment that lies.
type Chain [16]byte

// Group is one sealed group: the unit of a sync and of replay. Its content is opaque here.
type Group struct {
	Seq             uint64   // contiguous, from 1
	FirstMs, LastMs int64    // decided times of its first and last event, Unix milliseconds; they never go back (R12)
	Head            []byte   // opaque
	Chunks          [][]byte // opaque, already compressed; none is empty
	Chain           Chain    // set by Append and by reading
}

func (g *Group) bytes() int {
	n := len(g.Head)
	for _, c := range g.Chunks {
		n += len(c)
	}
	return n
}

// validate refuses what the limits exclude; it says nothing about the group's place in the log.
func (g *Group) validate() error {
	var errs []error
	if n := g.bytes(); n > GroupBytesMax {
		errs = append(errs, fmt.Errorf("%d bytes, at most %d", n, GroupBytesMax))
	}
	if len(g.Head) > HeadBytesMax {
		errs = append(errs, fmt.Errorf("a head of %d bytes, at most %d", len(g.Head), HeadBytesMax))
	}
	if len(g.Chunks) > ChunksMax {
		errs = append(errs, fmt.Errorf("%d chunks, at most %d", len(g.Chunks), ChunksMax))
	}
	for i, c := range g.Chunks {
		if len(c) == 0 {
			errs = append(errs, fmt.Errorf("chunk %d is empty", i))
		}
	}
	if g.FirstMs > g.LastMs {
		errs = append(errs, fmt.Errorf("its first event was decided at %d, after its last at %d", g.FirstMs, g.LastMs))
	}
	if errs != nil {
		return fmt.Errorf("group %d: %w", g.Seq, errors.Join(errs...))
	}
	return nil
}
