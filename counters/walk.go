package counters

// Walk calls fn for every device from an ordinal on, in the order of ordinals, until fn returns false. It needs no
// gate: devices inserted meanwhile are met or not, the others exactly once. A page of a list goes on at the last
// ordinal plus one. name belongs to the table.
func (t *Table) Walk(from Ordinal, fn func(o Ordinal, product uint32, name []byte) bool) {
	if from > OrdinalMax {
		return
	}
	first := from.place()
	for shard := from.Shard(); shard < Shards; shard++ {
		more := t.shards[shard].names.walk(first, func(place, product uint32, name []byte) bool {
			return fn(newOrdinal(shard, place), product, name)
		})
		if !more {
			return
		}
		first = 0
	}
}

// walk visits the entries from a place on. It starts at the beginning of its chunk, which an entry always begins at or
// a hole does, because from may point into an entry. It reports whether fn wants more.
func (a *arena) walk(from uint32, fn func(place, product uint32, name []byte) bool) bool {
	end := a.end.get()
	for at := int(from) / chunkWords * chunkWords; at < end; {
		if a.chunks.get(at / chunkWords).none() {
			at = (at/chunkWords + 1) * chunkWords // Nothing of this chunk was recovered.
			continue
		}
		product, name := a.entry(uint32(at))
		if product == 0 {
			at++
			continue
		}
		if at >= int(from) && !fn(uint32(at), product, name) {
			return false
		}
		at += entryWords(len(name))
	}
	return true
}
