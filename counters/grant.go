package counters

// Grant is where the current licence of a device comes from. It travels with the generation of its LicenseWord.
type Grant struct {
	ActivatedAt uint64 // seconds since 2020-01-01 UTC
	Serial      uint64 // unique in the daemon, 0 is none
	Pool        uint32 // the lot or the gifts that it was drawn from
}

const poolMask = 1<<31 - 1

// Grant returns the grant of a device; the zero Grant if there is no such device. Its three values belong together only
// while the caller holds the account's lock.
func (t *Table) Grant(o Ordinal) Grant {
	c, off := t.shards[o.Shard()].names.place(o.place())
	if c.none() || off+entryHeadBytes > chunkBytes {
		return Grant{}
	}
	head, from := c.word(off).Load(), c.word(off+8).Load()
	return Grant{ActivatedAt: from >> 31, Serial: head >> productBits, Pool: uint32(from & poolMask)}
}

// SetGrant replaces the grant of a device that the table holds; it panics on a value that its field does not hold. The
// caller holds the account's lock. In recovery JoinLicense does it.
func (t *Table) SetGrant(o Ordinal, g Grant) {
	c, off := t.shards[o.Shard()].names.place(o.place())
	if c.none() || off+entryHeadBytes > chunkBytes || c.word(off).Load() == 0 {
		panic("BUG: counters: a grant for a device that the table does not hold")
	}
	product := c.word(off).Load() & ProductMax
	c.word(off + 8).Store(checked(g.ActivatedAt, SecondMax)<<31 | checked(g.Pool, PoolMax))
	c.word(off).Store(checked(g.Serial, SerialMax)<<productBits | product)
}

// JoinLicense is Join for w5 with its grant, for recovery: the grant of an older generation never replaces that of a
// newer one, however records are ordered. The slot belongs to one goroutine.
func (t *Table) JoinLicense(s *Slot, w LicenseWord, g Grant) {
	if w.Generation() >= s.License().Generation() {
		t.SetGrant(s.Ordinal(), g)
	}
	s.Join(5, uint64(w))
}
