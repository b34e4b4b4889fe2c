package archive

import (
	"cmp"
	"time"
)

// SetCounted says who knows the instant, Unix milliseconds, before which everything that was decided is counted durably
// elsewhere: what is not counted never goes early. It comes before the first Tidy; without it nothing goes early.
func (s *Store) SetCounted(countedMs func() int64) { s.counted = countedMs }

// dropEarly removes the oldest directories while all together take more than Options.BytesMax, although their rows
// could still be read. It says so of each: it is the one thing that takes an event away before its time (R18).
func (s *Store) dropEarly() error {
	if s.o.BytesMax == 0 || s.counted == nil {
		return nil
	}
	for {
		d, bytes := s.oldestTooMuch()
		if d == nil {
			s.waits = false
			return nil
		}
		if d.lastMs >= s.counted() { // Asked after the look: it knows of every group that is archived.
			if !s.waits {
				s.o.Logger.Warn("the archive takes more than --log-max-bytes; its oldest events stay until the ledger has "+
					"counted them", "bytes", bytes, "bytes_max", s.o.BytesMax)
			}
			s.waits = true
			return nil
		}
		s.o.Logger.Warn("the archive takes more than --log-max-bytes: its oldest events go before their time",
			"directory", d.name(), "events", d.rows, "directory_bytes", d.bytes, "bytes", bytes, "bytes_max", s.o.BytesMax,
			"decided_from", time.UnixMilli(d.firstMs).UTC(), "decided_to", time.UnixMilli(d.lastMs).UTC())
		err := s.replace([]uint64{d.number}, nil, d.lastMs+1, func() {
			s.stats.earlyRows.Add(d.rows)
			s.stats.earlyBytes.Add(uint64(d.bytes))
		})
		if err != nil {
			return err
		}
	}
}

// oldestTooMuch returns the directory whose rows end first if all directories together are too large, else nil.
func (s *Store) oldestTooMuch() (oldest *directory, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.m.directories {
		d := &s.m.directories[i]
		bytes += d.bytes
		if oldest == nil || cmp.Or(cmp.Compare(d.lastMs, oldest.lastMs), cmp.Compare(d.number, oldest.number)) < 0 {
			oldest = d
		}
	}
	if bytes <= s.o.BytesMax {
		return nil, bytes
	}
	return oldest, bytes
}

// mergeable returns the first of some runs, as many as may become one directory. With a bound of bytes that is a part
// of it: what goes early goes whole, and is not much more than what is too much.
func (s *Store) mergeable(runs []directory) []directory {
	if s.o.BytesMax == 0 {
		return runs
	}
	bytes := int64(0)
	for i := range runs {
		if bytes += runs[i].bytes; i > 0 && bytes > s.o.BytesMax/earlyPart {
			return runs[:i]
		}
	}
	return runs
}

// OldestMs returns when the oldest event that is archived or in memory was decided, Unix milliseconds, 0 without one.
func (s *Store) OldestMs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.firstMs
	for i := range s.m.directories {
		if ms := s.m.directories[i].firstMs; oldest == 0 || ms < oldest {
			oldest = ms
		}
	}
	return oldest
}
