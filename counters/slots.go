package counters

import "math/bits"

// groupSlots is how many slots share a word of tags.
const groupSlots = 8

// The bytes 0x01 and 0x80 eight times, for looking at eight tags at once.
const (
	tagLows  = 0x0101_0101_0101_0101
	tagHighs = 0x8080_8080_8080_8080
)

// slots is the hash table of a shard: groups of eight slots, and for each group a word that holds a tag, a byte of the
// key, for each of them; 0 is an empty slot. A search goes from group to group, home first, until the tag leads to its
// slot or a group has an empty one. So it reads a line of tags, dense enough to be cached, and one slot. Looking at the
// slots themselves, one after the other, reads 2.9 of them at a load of 0.79: a batch took 112 ns a decision at 10 M
// devices where this takes 60.
//
// The groups lie in blocks of one size, which tables that grow hand to each other: tables in one piece left holes
// between them that the next larger table did not fit, 10 bytes a device. The list of blocks costs nothing that can be
// measured: it is cached, and a group's tags share the address translation of its slots. Only Grow, LoadShard and
// BindAt replace the table.
type slots struct {
	blocks blockList
	groups uint64
}

// slotBytesAll is what a slot takes, its tag included.
const slotBytesAll = slotBytes + 1

// Of a block of blockSlots slots, the tags come last. Its size is no power of two, so that the tags of many blocks do
// not compete for the same lines of a cache.
const (
	blockGroups = blockSlots / groupSlots
	blockBytes  = blockSlots * slotBytesAll
	blockTagsAt = blockSlots * slotBytes
)

// blocksFor returns how many blocks a table of n slots has.
func blocksFor(n int) int { return (n + blockSlots - 1) / blockSlots }

// newSlots returns an empty table of n slots, a multiple of groupSlots.
func (t *Table) newSlots(n int) (slots, error) {
	list := make([]block, 0, blocksFor(n))
	for range cap(list) {
		b, err := t.slotMem.alloc(blockBytes)
		if err != nil {
			t.freeBlocks(list)
			return slots{}, err
		}
		list = append(list, b)
	}
	return slots{newBlockList(list), uint64(n) / groupSlots}, nil
}

// freeSlots gives a table's memory back.
func (t *Table) freeSlots(h slots) { t.freeBlocks(h.blocks.slice(blocksFor(h.capacity()))) }

func (t *Table) freeBlocks(list []block) {
	for _, b := range list {
		t.slotMem.release(b, blockBytes)
	}
}

// capacity returns the number of slots.
func (h *slots) capacity() int { return int(h.groups * groupSlots) }

// bytes returns what the table takes.
func (h *slots) bytes() int { return blocksFor(h.capacity()) * blockBytes }

// tags returns the tags of a group.
func (h *slots) tags(group uint64) *word {
	return h.blocks.at(group / blockGroups).word(blockTagsAt + int(group%blockGroups)*8)
}

// slot returns a slot of a group.
func (h *slots) slot(group uint64, i int) *Slot {
	return h.blocks.at(group / blockGroups).slot(group%blockGroups*groupSlots + uint64(i))
}

// numbered returns the i-th slot.
func (h *slots) numbered(i uint64) *Slot { return h.slot(i/groupSlots, int(i%groupSlots)) }

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

// guess returns the first slot that k's tag leads to, or nil: it is k's except where two tags are the same, and it
// reads no slot.
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
