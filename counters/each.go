package counters

import "iter"

// Slots returns every slot of a shard, in no particular order. It runs inside the gate; devices inserted meanwhile are
// met or not.
func (t *Table) Slots(shard int) iter.Seq[*Slot] {
	h := &t.tables[shard]
	return func(yield func(*Slot) bool) {
		for g := range h.groups {
			for tags, i := h.tags(g).Load(), 0; tags != 0; tags, i = tags>>8, i+1 {
				if tags&0xff != 0 && !yield(h.slot(g, i)) {
					return
				}
			}
		}
	}
}
