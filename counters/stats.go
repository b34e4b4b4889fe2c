package counters

// Stats says what the table takes.
type Stats struct {
	Devices     int
	Slots       int // capacity
	SlotBytes   int // tables
	NameBytes   int // arenas, in whole chunks
	MappedBytes int // address space; a part that was never touched, or given back, is no memory
	LoadMax     float64
	Promised    int // inserts that may still be reserved before the next Grow
}

// Load returns the share of slots that are taken.
func (s Stats) Load() float64 { return float64(s.Devices) / float64(s.Slots) }

// ReadStats returns the table's figures; each is right by itself. It needs no gate, and may wait for a shard that is
// being copied.
func (t *Table) ReadStats() Stats {
	s := Stats{
		SlotBytes:   t.slotMem.handedOut(),
		NameBytes:   t.nameMem.handedOut(),
		MappedBytes: t.slotMem.mapped() + t.nameMem.mapped(),
		Promised:    t.promised.get(),
	}
	for i := range t.shards {
		sh := &t.shards[i]
		sh.mu.Lock()
		used, n := sh.used.get(), t.tables[i].capacity()
		sh.mu.Unlock()
		s.Devices += used
		s.Slots += n
		s.LoadMax = max(s.LoadMax, float64(used)/float64(n))
	}
	return s
}
