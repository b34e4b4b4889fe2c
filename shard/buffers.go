package shard

import "sync"

// buffers keeps the memory of chunks for the next group. Without it every group takes memory that the collector has
// just given back to the kernel, which clears it again: 7 % of the processor time of large batches.
type buffers struct {
	mu   sync.Mutex
	free [][]byte
	most int // how many are kept
}

// take returns an empty buffer.
func (b *buffers) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(b.free)
	if n == 0 {
		return nil
	}
	buffer := b.free[n-1]
	b.free[n-1] = nil
	b.free = b.free[:n-1]
	return buffer
}

// give takes buffers that nobody reads any more. One that a batch of large payloads made far larger than usual is not
// kept.
func (b *buffers) give(list [][]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, buffer := range list {
		if len(b.free) < b.most && cap(buffer) <= bufferBytesKept {
			b.free = append(b.free, buffer[:0])
		}
	}
}
