package license

import (
	"sync"
	"sync/atomic"
)

// poolChunkLen is how many pools are found through one chunk: 4 KiB of pointers.
const poolChunkLen = 512

// pools finds every pool by its number. All versions of a catalogue share it, since pools are added and never taken
// away. Reading takes no lock.
type pools struct {
	mu     sync.Mutex // one writer
	chunks atomic.Pointer[[]*poolChunk]
}

type poolChunk [poolChunkLen]atomic.Pointer[Pool]

func newPools() *pools {
	p := &pools{}
	p.chunks.Store(&[]*poolChunk{})
	return p
}

// get returns the pool with this number, nil if there is none.
func (p *pools) get(id uint32) *Pool {
	chunks := *p.chunks.Load()
	if at := id / poolChunkLen; int(at) < len(chunks) {
		return chunks[at][id%poolChunkLen].Load()
	}
	return nil
}

// put adds a pool.
func (p *pools) put(pool *Pool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	chunks := *p.chunks.Load()
	if need := int(pool.ID/poolChunkLen) + 1; need > len(chunks) {
		grown := append(make([]*poolChunk, 0, need), chunks...)
		for len(grown) < need {
			grown = append(grown, &poolChunk{})
		}
		p.chunks.Store(&grown)
		chunks = grown
	}
	chunks[pool.ID/poolChunkLen][pool.ID%poolChunkLen].Store(pool)
}

// Pool returns the pool with this number, nil if there is none: of any version of the catalogue, also of one that came
// after c. It does not allocate.
func (c *Catalogue) Pool(id uint32) *Pool { return c.pools.get(id) }
