//go:build !linux || race

package counters

// slabBytes is smaller here: the race detector keeps a shadow of every byte.
const slabBytes = 8 << 20

// slab is memory on the Go heap: the race detector sees nothing else, and other systems than Linux are for development.
type slab struct {
	mem  []byte
	free []span // by offset; never two that touch
}

// newSlab makes n zero bytes. The runtime aligns large objects to its pages, hence to cache lines.
func newSlab(n int) (*slab, error) { return &slab{mem: make([]byte, n)}, nil }

// discard makes mem[lo:hi] zero.
func (s *slab) discard(lo, hi int) { clear(s.mem[lo:hi]) }

// close leaves the memory to the garbage collector.
func (s *slab) close() error { return nil }
