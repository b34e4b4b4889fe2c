package counters

import "unsafe"

// This file holds every use of unsafe. A block is memory that no Go pointer describes: bytes cut from a slab. Offsets
// are the caller's to keep inside it: tables by their groups, arenas by chunkBytes.

// slotBytes is the size of a slot: a cache line.
const slotBytes = int(unsafe.Sizeof(Slot{}))

// block is where such memory begins, aligned to a cache line. Under the race detector the slab is on the Go heap, and
// the pointer keeps it alive.
type block struct{ p unsafe.Pointer }

// blockAt returns the block that begins at mem[off].
func blockAt(mem []byte, off int) block { return block{unsafe.Pointer(&mem[off])} }

// none reports whether there is no memory.
func (b block) none() bool { return b.p == nil }

// offsetIn returns where in mem the block begins, and whether it does.
func (b block) offsetIn(mem []byte) (int, bool) {
	at, base := uintptr(b.p), uintptr(unsafe.Pointer(&mem[0]))
	return int(at - base), at >= base && at-base < uintptr(len(mem))
}

// slot returns the i-th slot of a table.
func (b block) slot(i uint64) *Slot { return (*Slot)(unsafe.Add(b.p, i*uint64(slotBytes))) }

// word returns the word at a byte offset that is a multiple of 8.
func (b block) word(off int) *word { return (*word)(unsafe.Add(b.p, off)) }

// bytes returns n bytes from a byte offset.
func (b block) bytes(off, n int) []byte { return unsafe.Slice((*byte)(unsafe.Add(b.p, off)), n) }

// uint32s returns n numbers from the beginning.
func (b block) uint32s(n int) []uint32 { return unsafe.Slice((*uint32)(b.p), n) }

// plain returns the slot's words for copying while nobody else reaches them.
func (s *Slot) plain() *[8]uint64 { return (*[8]uint64)(unsafe.Pointer(s)) }

// blockList is a list of blocks whose length its owner knows: the hot path asks for one without a bounds check.
type blockList struct{ p *block }

// newBlockList returns the list of what is in list, which must not be changed any more; nothing in it is no list.
func newBlockList(list []block) blockList { return blockList{unsafe.SliceData(list)} }

// at returns the i-th block.
func (l blockList) at(i uint64) block {
	return *(*block)(unsafe.Add(unsafe.Pointer(l.p), i*uint64(unsafe.Sizeof(block{}))))
}

// slice returns the list of n blocks.
func (l blockList) slice(n int) []block { return unsafe.Slice(l.p, n) }

// orPlain sets bits of a word that nobody else reaches: an atomic store would cost 8 ns.
func orPlain(w *word, bits uint64) { *(*uint64)(unsafe.Pointer(w)) |= bits }

// alignSkip returns how far into mem the first huge page begins.
func alignSkip(mem []byte) int {
	return int(-uintptr(unsafe.Pointer(&mem[0])) & (hugePageBytes - 1))
}
