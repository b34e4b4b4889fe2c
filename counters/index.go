package counters

// Index finds slots by their ordinals, for recovery: a record names a device by its ordinal, and SlotOf waits for the
// arena, then for the slot. An Index holds four bytes for every 24 bytes of arena, on huge pages, reads them ahead, and
// so lets the misses overlap. A goroutine a shard uses it, while nobody else adds devices or grows tables.
type Index struct {
	t      *Table
	shards [Shards]indexShard
	mem    region
}

type indexShard struct {
	h  slots    // what at was made from
	at []uint32 // by place in the arena / entryWordsMin: the slot's number + 1, 0 if it is not known
	b  block    // that at lies in
}

// NewIndex returns an Index of t; it is built shard by shard as shards are asked for.
func (t *Table) NewIndex() *Index { return &Index{t: t} }

// Close gives its memory back.
func (x *Index) Close() error { return x.mem.close() }

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
	if i := o.Number(); i < len(sh.at) && sh.at[i] != 0 {
		return sh.h.numbered(uint64(sh.at[i] - 1))
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
	at := o.Number()
	if at >= len(sh.at) && !x.resize(sh, at+1+at/4) {
		return s // It is found, only slowly.
	}
	g, i := sh.h.locate(s.Key())
	sh.at[at] = uint32(g*groupSlots) + uint32(i) + 1
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

// resize makes room for n places, and reports whether there was memory for them.
func (x *Index) resize(sh *indexShard, n int) bool {
	b, err := x.mem.alloc(4 * n)
	if err != nil {
		return false
	}
	at := b.uint32s(n)
	copy(at, sh.at)
	if len(sh.at) > 0 {
		x.mem.release(sh.b, 4*len(sh.at))
	}
	sh.at, sh.b = at, b
	return true
}

// build reads a shard's slots anew: its table was replaced.
func (x *Index) build(shard int) {
	sh := &x.shards[shard]
	sh.h = x.t.tables[shard]
	clear(sh.at)
	if n := x.t.shards[shard].names.end.get()/entryWordsMin + 1; n > len(sh.at) && !x.resize(sh, n) {
		return
	}
	n := uint32(0)
	for g := range sh.h.groups {
		for tags := sh.h.tags(g).Load(); tags != 0; tags >>= 8 {
			n++
			if tags&0xff != 0 {
				sh.at[sh.h.slot(g, int(n-1)%groupSlots).Seen().Arena()/entryWordsMin] = n
			}
		}
		n = uint32(g+1) * groupSlots
	}
}
