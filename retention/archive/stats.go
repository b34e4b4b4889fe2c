package archive

// Stats are figures of the archive.
type Stats struct {
	Runs, Spans           int   // directories
	Bytes                 int64 // of all of them
	Rows                  uint64
	MemoryRows            int
	RunsWritten, Merges   uint64
	Removed, RemovedBytes uint64 // directories that were dead
	EarlyRows, EarlyBytes uint64 // of directories that went early, since the start
	RowsWritten           uint64 // in runs, since the start
	Rewritten             uint64 // directories, for what was erased
	CopiedBytes           uint64 // of another node's directories, since the start
	Adoptions             uint64 // of another node's archive, since the start
}

// Stats returns how the archive stands.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := Stats{
		RunsWritten: s.stats.runs.Load(), Merges: s.stats.merges.Load(), Removed: s.stats.removed.Load(),
		RemovedBytes: s.stats.removedBytes.Load(), RowsWritten: s.stats.rows.Load(),
		EarlyRows: s.stats.earlyRows.Load(), EarlyBytes: s.stats.earlyBytes.Load(),
		Rewritten: s.stats.rewritten.Load(), CopiedBytes: s.stats.copiedBytes.Load(),
		Adoptions: s.stats.adoptions.Load(),
	}
	for i := range s.m.directories {
		d := &s.m.directories[i]
		x.Bytes += d.bytes
		x.Rows += d.rows
		if d.level == levelRun {
			x.Runs++
		} else {
			x.Spans++
		}
	}
	for i := range s.shown {
		x.MemoryRows += s.shown[i].count()
	}
	return x
}
