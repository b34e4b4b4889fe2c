package counters

import "math/bits"

// groupSlots is how many slots share a word of tags.
const groupSlots = 8

// The bytes 0x01 and 0x80 eight times, for looking at eight tags at once.
const (
	tagLows  = 0x0101_0101_0101_0101
	tagHighs = 0x8080_8080_8080_8080
)

// slots is the hash table of a shard: groups of eight slots, and behind all slots a word for each group that holds a tag, a byte of the
// key, for each of them; 0 is an empty slot. A search goes from group to group, home first, until the tag leads to its slot or a group
// has an empty one. So it reads a line of tags, dense enough to be cached, and one slot. Looking at the slots themselves, one after the
// other, reads 2.9 of them at a load of 0.79: a batch took 112 ns a decision at 10 M devices where this takes 60. Only Grow, LoadShard and BindAt replace it.
type slots struct {
	at     block
	groups uint64
}

// slotBytesAll is what a slot takes, its tag included.
const slotBytesAll = slotBytes + 1

// newSlots returns an empty table of n slots, a multiple of groupSlots.
func (t *Table) newSlots(n int) (slots, error) {
	at, err := t.slotMem.alloc(n * slotBytesAll)
	return slots{at, uint64(n) / groupSlots}, err
}

// freeSlots gives a table's memory back.
func (t *Table) freeSlots(h slots) { t.slotMem.release(h.at, h.capacity()*slotBytesAll) }

// capacity returns the number of slots.
func (h *slots) capacity() int { return int(h.groups * groupSlots) }

// tags returns the tags of a group.
func (h *slots) tags(group uint64) *word {
	return h.at.word(int(h.groups*groupSlots*uint64(slotBytes) + group*8))
}

// slot returns a slot of a group.
func (h *slots) slot(group uint64, i int) *Slot { return h.at.slot(group*groupSlots + uint64(i)) }

// matches has the high bit set of every byte in tags that may be tag; the lowest one set always is.
func matches(tags, tag uint64) uint64 {
	differ := tags ^ tag*tagLows
	return (differ - tagLows) &^ differ & tagHighs
}

// find returns the slot of k, or nil.
func (h *slots) find(k Key) *Slot {
	tag := k.tag()
	for g := k.home(h.groups); ; g = h.after(g) {
		tags := h.tags(g).Load()
		for m := matches(tags, tag); m != 0; m &= m - 1 {
			if s := h.slot(g, bits.TrailingZeros64(m)/8); s.is(k) {
				return s
			}
		}
		if ^tags&tagHighs != 0 {
			return nil
		}
	}
}

// guess returns the first slot that k's tag leads to, or nil: it is k's except where two tags are the same, and it reads no slot.
func (h *slots) guess(k Key) *Slot {
	tag := k.tag()
	for g := k.home(h.groups); ; g = h.after(g) {
		tags := h.tags(g).Load()
		if m := matches(tags, tag); m != 0 {
			return h.slot(g, bits.TrailingZeros64(m)/8)
		}
		if ^tags&tagHighs != 0 {
			return nil
		}
	}
}

// add puts k, which the table does not hold, into the first empty slot of its search and returns it. The caller
// holds the shard's lock and has seen to it that a slot is left.
func (h *slots) add(k Key, seen SeenWord) *Slot {
	g, i := h.vacant(k)
	s := h.slot(g, i)
	s.publish(k, seen, h.tags(g), i)
	return s
}

// addAlone is add for a table that nobody else can reach yet. It sets nothing but the key.
func (h *slots) addAlone(k Key) *[8]uint64 {
	g, i := h.vacant(k)
	orPlain(h.tags(g), k.tag()<<(8*i))
	w := h.slot(g, i).plain()
	w[0], w[1] = k.Hi, k.Lo
	return w
}

// vacant returns the first empty slot of k's search.
func (h *slots) vacant(k Key) (group uint64, i int) {
	for g := k.home(h.groups); ; g = h.after(g) {
		if empty := ^h.tags(g).Load() & tagHighs; empty != 0 {
			return g, bits.TrailingZeros64(empty) / 8
		}
	}
}

// after returns the group that follows in a search.
func (h *slots) after(group uint64) uint64 {
	if group++; group == h.groups {
		return 0
	}
	return group
}
