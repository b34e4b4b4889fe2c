package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/meterd/meterd/retention/disk"
)

// Tidy removes directories whose rows can no longer be read at nowMs, and those that must go early. It merges the runs
// of spans that are over, or that have many, and rewrites what has rows that were erased some time ago. It ends early
// when ctx does, and goes on with the next call. nowMs is the time that meterd decides by (R12), not the bare clock:
// one that leapt ahead would remove what is not over.
func (s *Store) Tidy(ctx context.Context, nowMs int64) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	s.mu.Lock()
	left := slices.Clone(s.removing)
	s.mu.Unlock()
	err := errors.Join(s.removeAll(left), s.removeDead(nowMs))
	if !s.follows.Load() { // Nothing is adopted any more, and what was copied is neither erased nor over by itself.
		err = errors.Join(err, s.dropCopied(nil))
	}
	if err != nil {
		return fmt.Errorf("remove what is over from the archive: %w", err)
	}
	// What was just merged has nothing that is erased. A directory that cannot be merged keeps no other from being erased.
	return errors.Join(s.mergeDue(ctx, nowMs), s.eraseDue(ctx, nowMs))
}

// mergeDue merges the runs of all spans that are to be merged, and removes what is too much meanwhile. A span with a
// damaged run keeps no other from being merged.
func (s *Store) mergeDue(ctx context.Context, nowMs int64) error {
	var errs []error
	damaged := map[int64]bool{}
	for ctx.Err() == nil {
		if err := s.dropEarly(); err != nil {
			return errors.Join(append(errs, fmt.Errorf("remove what is too much from the archive: %w", err))...)
		}
		runs := s.dueRuns(nowMs, damaged)
		if len(runs) == 0 {
			break
		}
		err := s.merge(ctx, runs, nowMs)
		if err == nil || ctx.Err() != nil {
			continue
		}
		errs = append(errs, fmt.Errorf("merge %d runs of the archive: %w", len(runs), err))
		if !errors.Is(err, disk.ErrDamaged) {
			break
		}
		damaged[runs[0].span] = true
	}
	return errors.Join(errs...)
}

// isDead reports whether none of a directory's rows can be read any more.
func (s *Store) isDead(d *directory, nowMs int64) bool {
	keep := int64(0)
	for _, x := range d.days {
		keep = max(keep, s.keepMs(x.days))
	}
	return nowMs-d.lastMs > keep
}

func (s *Store) removeDead(nowMs int64) error {
	var dead []uint64
	bytes := int64(0)
	s.mu.Lock()
	for i := range s.m.directories {
		if d := &s.m.directories[i]; s.isDead(d, nowMs) {
			dead = append(dead, d.number)
			bytes += d.bytes
			if slices.ContainsFunc(d.days, func(x dayRows) bool { return s.isOverByRetention(x.days) }) {
				s.removedTo = max(s.removedTo, d.lastMs+1)
			}
		}
	}
	s.mu.Unlock()
	if len(dead) == 0 {
		return nil
	}
	return s.replace(dead, nil, 0, func() {
		s.stats.removed.Add(uint64(len(dead)))
		s.stats.removedBytes.Add(uint64(bytes))
	})
}

// replace has the manifest name other directories instead of some, calls count, and removes those from the disk. What
// can be read begins at availableFromMs, if that is later than it did; 0 if nothing is lost. After an error of the
// removal the manifest is replaced nevertheless.
func (s *Store) replace(numbers []uint64, by []directory, availableFromMs int64, count func()) error {
	var old []*openDir
	err := s.update(func(m *manifest) {
		m.directories = append(without(m.directories, numbers), by...)
		m.availableFrom = max(m.availableFrom, availableFromMs)
		m.removedTo = max(m.removedTo, s.removedTo)
	}, func() {
		for _, n := range numbers {
			d := s.dirs[n]
			d.gone = true
			old = append(old, d)
			delete(s.dirs, n)
		}
		s.removing = append(s.removing, old...)
		count()
	})
	if err != nil {
		return err
	}
	return s.removeAll(old)
}

// removeAll removes directories that no manifest names. Those that are held, or cannot be removed, are tried again by
// the next Tidy.
func (s *Store) removeAll(list []*openDir) error {
	var errs []error
	for _, d := range list {
		if s.isHeld(d) {
			continue
		}
		if err := s.remove(d); err != nil {
			errs = append(errs, err)
			continue
		}
		s.mu.Lock()
		s.removing = slices.DeleteFunc(s.removing, func(o *openDir) bool { return o == d })
		s.mu.Unlock()
	}
	return errors.Join(errs...)
}

// remove removes a directory that no manifest names. It waits for those who read it now: a look each, which waits for
// nobody. So a look that has begun finds its files. What an earlier call has removed of it may be gone.
func (s *Store) remove(d *openDir) error {
	s.mu.Lock()
	if d.readers > 0 {
		left := make(chan struct{})
		d.left = left
		s.mu.Unlock()
		<-left
		s.mu.Lock()
	}
	s.closeDir(d)
	s.mu.Unlock()
	if err := s.step("rename to remove " + d.name()); err != nil {
		return err
	}
	path := filepath.Join(s.o.Path, d.name())
	if err := os.Rename(path, path+removingSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	path += removingSuffix
	entries, err := os.ReadDir(path)
	if errors.Is(err, os.ErrNotExist) {
		return disk.SyncDir(s.o.Path)
	}
	if err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	for _, e := range entries {
		if err := s.step("remove a file of " + d.name()); err != nil {
			return err
		}
		if err := disk.RemoveGently(filepath.Join(path, e.Name())); err != nil {
			return err
		}
	}
	if err := s.step("remove " + d.name()); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove %q: %w", path, err)
	}
	return disk.SyncDir(s.o.Path)
}

// dueRuns returns the runs of the oldest span that is to be merged and is none of some.
func (s *Store) dueRuns(nowMs int64, but map[int64]bool) []directory {
	s.mu.Lock()
	defer s.mu.Unlock()
	bySpan := map[int64][]directory{}
	var spans []int64
	for _, d := range s.m.directories {
		if d.level != levelRun || but[d.span] {
			continue
		}
		if bySpan[d.span] == nil {
			spans = append(spans, d.span)
		}
		bySpan[d.span] = append(bySpan[d.span], d)
	}
	slices.Sort(spans)
	runs, late := mergeRuns, int64(0)
	if s.follows.Load() { // Whoever is followed does it, as a rule.
		runs, late = lateRuns, s.spanMs()
	}
	for _, span := range spans {
		// A run is written within its age, so the span's last one is there then; one that comes later is merged alone.
		isOver := nowMs >= (span+1)*s.spanMs()+s.runAgeMs()+late && s.span(s.m.positionMs) > span
		if isOver || len(bySpan[span]) >= runs {
			return s.mergeable(bySpan[span])
		}
	}
	return nil
}

// merge writes the runs of a span as one directory for each value of log days.
func (s *Store) merge(ctx context.Context, runs []directory, nowMs int64) error {
	var bytes uint64
	days := map[uint32]bool{}
	var numbers []uint64
	for i := range runs {
		bytes += uint64(runs[i].bytes)
		numbers = append(numbers, runs[i].number)
		for _, x := range runs[i].days {
			days[x.days] = true
		}
	}
	if err := s.needs(bytes); err != nil {
		return err
	}
	var made []directory
	for value := range days {
		d := directory{level: levelSpan, number: s.newNumber(), span: runs[0].span, logDays: value}
		out, err := s.writeFrom(ctx, d, runs, nowMs, func(days uint32) bool { return days == value })
		if err != nil {
			return err
		}
		made = append(made, out...)
	}
	return s.replace(numbers, made, 0, func() { s.stats.merges.Add(1) })
}

// writeFrom writes those rows of some directories whose log days d takes and that are not over. It returns d as it was
// made, none without rows.
func (s *Store) writeFrom(
	ctx context.Context, d directory, from []directory, nowMs int64, takes func(logDays uint32) bool,
) ([]directory, error) {
	w, err := s.newWriter(d, s.restTidy)
	if err != nil {
		return nil, err
	}
	baseMs := from[0].firstMs
	for i := range from {
		baseMs = min(baseMs, from[i].firstMs)
	}
	err = s.eachOf(from, baseMs, func(b *batch) error {
		b.rows = slices.DeleteFunc(b.rows, func(x memoryRow) bool {
			days, ms := uint32(x.logDays), baseMs+x.sinceMs()
			switch {
			case !takes(days):
				return true
			case nowMs-ms <= s.keepMs(days):
				return false
			}
			if s.isOverByRetention(days) {
				s.removedTo = max(s.removedTo, ms+1)
			}
			return true
		})
		return errors.Join(ctx.Err(), w.addRows(b, baseMs))
	})
	if err != nil {
		return nil, w.fail(err)
	}
	if w.d.rows == 0 && w.block.rows == 0 {
		return nil, errors.Join(w.load.abort(), os.RemoveAll(w.path))
	}
	made, err := w.finish()
	return []directory{made}, err
}
