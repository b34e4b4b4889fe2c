//go:build linux && !race

package counters

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// slabBytes is what is asked of the kernel at once. It is address space; memory it becomes when it is touched.
const slabBytes = 64 << 20

// slab is a piece of address space outside the Go heap: there the garbage collector's pacing would double it.
type slab struct {
	raw  []byte // as mapped
	mem  []byte // its part that begins and ends with a huge page
	free []span // by offset; never two that touch
}

// newSlab maps n bytes, a multiple of hugePageBytes. They are zero.
func newSlab(n int) (*slab, error) {
	raw, err := unix.Mmap(
		-1,
		0,
		n+hugePageBytes,
		unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE,
	)
	if err != nil {
		return nil, fmt.Errorf("%w: map %d bytes: %w", ErrNoMemory, n, os.NewSyscallError("mmap", err))
	}
	skip := alignSkip(raw)
	s := &slab{raw: raw, mem: raw[skip : skip+n : skip+n]}
	// A kernel without huge pages refuses; then the table is slower, not wrong.
	_ = unix.Madvise(s.mem, unix.MADV_HUGEPAGE)
	return s, nil
}

// discard gives the pages of mem[lo:hi], both multiples of hugePageBytes, back to the kernel; they read as zero
// afterwards.
func (s *slab) discard(lo, hi int) {
	if unix.Madvise(s.mem[lo:hi], unix.MADV_DONTNEED) != nil {
		clear(s.mem[lo:hi])
	}
}

// close unmaps the slab; whatever points into it faults from now on.
func (s *slab) close() error { return os.NewSyscallError("munmap", unix.Munmap(s.raw)) }
