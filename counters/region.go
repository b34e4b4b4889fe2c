package counters

import (
	"errors"
	"slices"
	"sync"
)

// span is free memory of a slab: n bytes from offset off.
type span struct{ off, n int }

// region hands out blocks of slabs, first fit, so that tables much smaller than a huge page share one. Free memory is
// always zero, and huge pages that are wholly free go back to the kernel. It is safe for concurrent use.
type region struct {
	mu    sync.Mutex
	more  func(n int) (*slab, error) // a test's newSlab; nil otherwise
	slabs []*slab
	used  int // bytes handed out
}

// alloc returns n zero bytes, n rounded up to cache lines.
func (r *region) alloc(n int) (block, error) {
	n = roundUp(n, slotBytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slabs {
		for i, f := range s.free {
			if f.n >= n {
				return r.carve(s, i, n), nil
			}
		}
	}
	s, err := r.grow(n)
	if err != nil {
		return block{}, err
	}
	return r.carve(s, 0, n), nil
}

// grow adds a slab of at least n bytes. The lock is held.
func (r *region) grow(n int) (*slab, error) {
	size := roundUp(max(n, slabBytes), hugePageBytes)
	more := r.more
	if more == nil {
		more = newSlab
	}
	s, err := more(size)
	if err != nil {
		return nil, err
	}
	s.free = append(s.free, span{0, size})
	r.slabs = append(r.slabs, s)
	return s, nil
}

// blocks returns how many blocks of n bytes, a multiple of a cache line, alloc has without asking the kernel.
func (r *region) blocks(n int) (count int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slabs {
		for _, f := range s.free {
			count += f.n / n
		}
	}
	return count
}

// reserve makes sure that alloc has count blocks of n bytes without asking the kernel, as long as nobody takes others.
func (r *region) reserve(count, n int) error {
	missing := count - r.blocks(n)
	if missing <= 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.grow(missing * n)
	return err
}

// carve takes n bytes from the beginning of the slab's i-th free span.
func (r *region) carve(s *slab, i, n int) block {
	r.used += n
	b := blockAt(s.mem, s.free[i].off)
	if s.free[i].n == n {
		s.free = slices.Delete(s.free, i, i+1)
	} else {
		s.free[i] = span{s.free[i].off + n, s.free[i].n - n}
	}
	return b
}

// release takes back what alloc(n) returned.
func (r *region) release(b block, n int) {
	n = roundUp(n, slotBytes)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.slabs {
		if off, ok := b.offsetIn(s.mem); ok {
			r.used -= n
			s.wipe(span{off, n}, s.merge(span{off, n}))
			return
		}
	}
	panic("BUG: counters: a block of no slab is released")
}

// merge adds a free span to the list and returns it together with the free spans that it touches.
func (s *slab) merge(f span) span {
	i, _ := slices.BinarySearchFunc(s.free, f.off, func(e span, off int) int { return e.off - off })
	lo, hi := i, i
	if i > 0 && s.free[i-1].off+s.free[i-1].n == f.off {
		lo--
		f = span{s.free[lo].off, s.free[lo].n + f.n}
	}
	if i < len(s.free) && f.off+f.n == s.free[i].off {
		hi++
		f.n += s.free[i].n
	}
	s.free = slices.Replace(s.free, lo, hi, f)
	return f
}

// wipe makes the freed span zero. The huge pages under it that became wholly free, its neighbours' share included, are
// given back instead; their shares were zero already.
func (s *slab) wipe(freed, merged span) {
	end := freed.off + freed.n
	lo := max(roundUp(merged.off, hugePageBytes), freed.off/hugePageBytes*hugePageBytes)
	hi := min((merged.off+merged.n)/hugePageBytes*hugePageBytes, roundUp(end, hugePageBytes))
	if lo >= hi {
		clear(s.mem[freed.off:end])
		return
	}
	clear(s.mem[freed.off:max(lo, freed.off)])
	clear(s.mem[min(hi, end):end])
	s.discard(lo, hi)
}

// mapped returns the bytes of address space.
func (r *region) mapped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, s := range r.slabs {
		n += len(s.mem)
	}
	return n
}

// handedOut returns the bytes that blocks take.
func (r *region) handedOut() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// close gives all slabs back.
func (r *region) close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var faults []error
	for _, s := range r.slabs {
		faults = append(faults, s.close())
	}
	r.slabs, r.used = nil, 0
	return errors.Join(faults...)
}

// roundUp returns the smallest multiple of unit, a power of two, that is not under n.
func roundUp(n, unit int) int { return (n + unit - 1) &^ (unit - 1) }
