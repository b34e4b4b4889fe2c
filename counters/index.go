package counters

// Index finds slots by their ordinals, for recovery: a record names a device by its ordinal, and SlotOf waits for the arena, then for the
// slot. An Index holds four bytes for every 8 bytes of arena, reads them ahead, and so lets the misses overlap. One goroutine uses
// it, while nobody else adds devices or grows tables but by BindAt on the same goroutine.
type Index struct {
	t      *Table
	shards [Shards]indexShard
}

type indexShard struct {
	h  slots    // what at was made from
	at []uint32 // by place in the arena: the slot's number + 1, 0 if it is not known
}

// NewIndex returns an Index of t; it is built shard by shard as shards are asked for.
func (t *Table) NewIndex() *Index { return &Index{t: t} }

// Find is SlotOf for many: found[i] becomes the slot of ordinals[i], or nil. found must be as long as ordinals.
func (x *Index) Find(ordinals []Ordinal, found []*Slot) {
	found = found[:len(ordinals)]
	for len(ordinals) > 0 {
		n := min(len(ordinals), touchAhead)
		x.findBlock(ordinals[:n], found[:n])
		ordinals, found = ordinals[n:], found[n:]
	}
}

func (x *Index) findBlock(ordinals []Ordinal, found []*Slot) {
	for i, o := range ordinals {
		found[i] = x.guess(o)
	}
	for _, s := range found {
		if s != nil {
			s.w[0].Load()
		}
	}
	for i, o := range ordinals {
		if s := found[i]; s == nil || s.Ordinal() != o {
			found[i] = x.search(o)
		}
	}
}

// guess returns the slot that the index has for o, nil if it has none.
func (x *Index) guess(o Ordinal) *Slot {
	if o > OrdinalMax {
		return nil
	}
	sh := &x.shards[o.Shard()]
	if sh.h != x.t.tables[o.Shard()] {
		x.build(o.Shard())
	}
	if place := o.place(); int(place) < len(sh.at) && sh.at[place] != 0 {
		return sh.h.numbered(uint64(sh.at[place] - 1))
	}
	return nil
}

// search finds o without the index, and enters it.
func (x *Index) search(o Ordinal) *Slot {
	s := x.t.SlotOf(o)
	if s == nil {
		return nil
	}
	sh := &x.shards[o.Shard()]
	h, place := &sh.h, int(o.place())
	if place >= len(sh.at) {
		sh.at = append(sh.at, make([]uint32, place+1-len(sh.at)+len(sh.at)/4)...)
	}
	g, i := h.locate(s.Key())
	sh.at[place] = uint32(g*groupSlots) + uint32(i) + 1
	return s
}

// locate returns where k stands, which the table holds.
func (h *slots) locate(k Key) (group uint64, i int) {
	for g := k.home(h.groups); ; g = h.after(g) {
		for i := range groupSlots {
			if h.slot(g, i).is(k) {
				return g, i
			}
		}
	}
}

// build reads a shard's slots anew: its table was replaced.
func (x *Index) build(shard int) {
	sh := &x.shards[shard]
	sh.h = x.t.tables[shard]
	sh.at = make([]uint32, x.t.shards[shard].names.end.get())
	n := uint32(0)
	for g := range sh.h.groups {
		for tags := sh.h.tags(g).Load(); tags != 0; tags >>= 8 {
			n++
			if tags&0xff != 0 {
				sh.at[sh.h.slot(g, int(n-1)%groupSlots).Seen().Arena()] = n
			}
		}
		n = uint32(g+1) * groupSlots
	}
}
