package counters

import "sync/atomic"

// This file declares everything that is touched by several goroutines without a lock, and argues the order of what they
// see. Go's atomics are sequentially consistent, and an atomic store happens before the load that observes it.

// Slot is one device: eight words, one cache line, no pointers. The package comment says where one may be held.
//
//   - w0 and w1 are written once. publish stores the slot's words before its tag, so a reader that comes by the tag
//     sees w0, w1 and w7 as they are, and w2 to w6 as zero or newer: free memory is zero before a table is made of it.
//   - w2, w3, w6 and w7 change by compare-and-swap in a loop: every change is based on what it replaces, none is lost.
//   - w4 and w5 are stored by the holder of the account's lock; others load them and see one of the values stored.
//   - Words are ordered within themselves only. A reader that loads two of them may see one before and the other after
//     an event; what needs both reads them under the account's lock, or waits for the next cut.
//   - Growth copies slots with plain loads and stores: the gate and the shard's lock order it against everything else.
type Slot struct{ w [8]word }

// word is eight bytes off the heap, of a slot, of tags, or of an arena.
type word = atomic.Uint64

// publish makes an empty slot, the i-th of the group that has these tags, the one of k. Nobody looks at the slot before
// its tag is there, so one atomic store is enough. Writers of tags hold the shard's lock.
func (s *Slot) publish(k Key, seen SeenWord, tags *word, i int) {
	w := s.plain()
	w[0], w[1], w[7] = k.Hi, k.Lo, uint64(seen)
	tags.Store(tags.Load() | k.tag()<<(8*i))
}

// is reports whether the slot is k's.
func (s *Slot) is(k Key) bool { return s.w[0].Load() == k.Hi && s.w[1].Load() == k.Lo }

// count is a number that one goroutine at a time changes, under a lock, and anybody reads.
type count struct{ n atomic.Int64 }

func (c *count) get() int  { return int(c.n.Load()) }
func (c *count) set(n int) { c.n.Store(int64(n)) }

// promise is the room that Grow made and Reserve hands out: one number that only falls between two Grows, so two
// reservations can never be given the same room.
type promise struct{ left atomic.Int64 }

// take takes n of what is left, or nothing.
func (p *promise) take(n int) bool {
	for {
		left := p.left.Load()
		if int64(n) > left {
			return false
		}
		if p.left.CompareAndSwap(left, left-int64(n)) {
			return true
		}
	}
}

func (p *promise) get() int { return int(p.left.Load()) }

// reset replaces what is left. The load spares recovery's goroutines a cache line that all of them would write.
func (p *promise) reset(n int) {
	if p.left.Load() != int64(n) {
		p.left.Store(int64(n))
	}
}

// directory lists the chunks of an arena. Readers load the list without a lock; what they got is never written again
// where they look: appending writes behind its end, replacing copies.
type directory struct{ list atomic.Pointer[[]block] }

// get returns the i-th chunk, or none.
func (d *directory) get(i int) block {
	if l := d.list.Load(); l != nil && i < len(*l) {
		return (*l)[i]
	}
	return block{}
}

// put makes b the i-th chunk; the caller holds the shard's lock.
func (d *directory) put(i int, b block) {
	var old []block
	if l := d.list.Load(); l != nil {
		old = *l
	}
	if i == len(old) {
		list := append(old, b)
		d.list.Store(&list)
		return
	}
	list := make([]block, max(len(old), i+1))
	copy(list, old)
	list[i] = b
	d.list.Store(&list)
}
