package counters

import (
	"encoding/binary"
	"slices"
)

// The image of a shard, drawn in FORMAT.md: a head, the slots without their keys, the arena as it is.
const (
	imageVersion   = 1
	imageHeadBytes = 24
	imageSlotBytes = 48 // w2 to w7: the keys follow from the arena
)

// AppendShard appends the image of a shard to dst. It needs no gate: messages go on being counted, and an insert into
// this shard waits. The copy is fuzzy: every word is one that the slot had during the call, words of one device may be
// from different instants, and a device inserted since the call began is in it whole or not at all. Joining what was
// logged from the last cut before the call on makes it exact. dst should be reused: an image is as large as its shard.
func (t *Table) AppendShard(dst []byte, shard int) []byte {
	sh := &t.shards[shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h, used, words := t.tables[shard], sh.used.get(), sh.names.end.get()

	at := len(dst)
	total := imageHeadBytes + used*imageSlotBytes + words*8
	dst = slices.Grow(dst, total)[:at+total]
	out := dst[at:]
	binary.LittleEndian.PutUint32(out, imageVersion)
	binary.LittleEndian.PutUint32(out[4:], uint32(shard))
	binary.LittleEndian.PutUint64(out[8:], uint64(used))
	binary.LittleEndian.PutUint64(out[16:], uint64(words*8))
	out = out[imageHeadBytes:]
	for i := range uint64(h.capacity()) {
		s := h.numbered(i)
		if s.w[0].Load() == 0 {
			continue
		}
		for w := 2; w < 8; w++ {
			binary.LittleEndian.PutUint64(out[8*(w-2):], s.w[w].Load())
		}
		out = out[imageSlotBytes:]
	}
	sh.names.copyTo(out)
	return dst
}

// copyTo copies the arena, whose writers are locked out, up to its end. Grants may change meanwhile, hence word by
// word.
func (a *arena) copyTo(out []byte) {
	for i := 0; len(out) > 0; i++ {
		n := min(len(out), chunkBytes)
		c := a.chunks.get(i)
		if c.none() {
			clear(out[:n])
		} else {
			for off := 0; off < n; off += 8 {
				binary.LittleEndian.PutUint64(out[off:], c.word(off).Load())
			}
		}
		out = out[n:]
	}
}
