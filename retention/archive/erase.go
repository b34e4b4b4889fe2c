package archive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// What is erased leaves the disk in directories that are written anew. Runs and merges are written without it as it is;
// of the others those are rewritten that have such rows, each at most once in Options.EraseAfter: erasures gather for
// so long.
//
//	erased ──► gather for EraseAfter ──► each directory older than the erasure: has it such a row with topic or payload?
//	                                        no: the manifest says that it is done      yes: it is rewritten without them

// eraseDue rewrites the directories that are to be rewritten at nowMs.
func (s *Store) eraseDue(ctx context.Context, nowMs int64) error {
	_, e := s.erasing()
	var done []uint64
	var errs []error
	for _, d := range s.erasable(e, nowMs-s.eraseLateMs()) {
		if ctx.Err() != nil {
			return nil
		}
		has, err := s.hasErased(ctx, &d, e.behind(d.erased, d.firstMs))
		if err == nil && has {
			err = s.rewrite(ctx, d, nowMs)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			errs = append(errs, fmt.Errorf("erase from %s of the archive: %w", d.name(), err))
		case !has:
			done = append(done, d.number)
		}
	}
	if len(done) > 0 {
		errs = append(errs, s.update(func(m *manifest) {
			for i := range m.directories {
				if d := &m.directories[i]; slices.Contains(done, d.number) {
					d.erased = e.seq
				}
			}
		}, func() {}))
	}
	return errors.Join(errs...)
}

// erasable returns the directories that may have rows that were erased, whose promise is old enough.
func (s *Store) erasable(e *Erasures, nowMs int64) (list []directory) {
	m, _ := s.erasing()
	for _, d := range m.directories {
		if concerned := e.behind(d.erased, d.firstMs); len(concerned) > 0 &&
			s.isEraseDue(oldestMs(concerned), d.rewrittenMs, nowMs) {
			list = append(list, d)
		}
	}
	return list
}

// erasing returns what the archive consists of and what is erased; neither changes.
func (s *Store) erasing() (*manifest, *Erasures) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m, s.erasures
}

// isEraseDue reports whether what was promised at sinceMs is to be done at nowMs, and was not done just before: the
// last time began at beganMs, and what is promised again since then was promised later.
func (s *Store) isEraseDue(sinceMs, beganMs, nowMs int64) bool {
	return nowMs-max(sinceMs, beganMs) >= s.o.EraseAfter.Milliseconds()
}

// eraseLateMs is how much later an archive rewrites that copies another one. The log is erased between the two: for
// that a run is written here, and what is copied next must have its groups.
func (s *Store) eraseLateMs() int64 {
	if !s.follows.Load() {
		return 0
	}
	return s.o.EraseAfter.Milliseconds() / lateErasePart
}

// hasErased reports whether a directory has a row with topic or payload that was erased.
func (s *Store) hasErased(ctx context.Context, d *directory, list []Erasure) (has bool, err error) {
	x := &Snapshot{s: s, dirs: []directory{*d}}
	for i := range list {
		s.restTidy()
		name := []byte(list[i].Name)
		q := Query{
			Devices: []Device{Unknown(list[i].Product, name)}, Name: name, FromMs: d.firstMs, ToMs: list[i].UntilMs,
			Oldest: true,
		}
		if list[i].Known {
			q.Devices = append(q.Devices, Known(list[i].Product, list[i].Ordinal))
		}
		_, err := x.Each(ctx, &q, func(r *Row) bool {
			has = len(r.Topic)+len(r.Payload) > 0
			return !has
		})
		if has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// rewrite writes a directory anew, without what was erased and what is over.
func (s *Store) rewrite(ctx context.Context, old directory, nowMs int64) error {
	if err := s.needs(uint64(old.bytes)); err != nil {
		return err
	}
	d := directory{
		level: old.level, number: s.newNumber(), span: old.span, logDays: old.logDays, rewrittenMs: nowMs,
	}
	made, err := s.writeFrom(ctx, d, []directory{old}, nowMs, func(uint32) bool { return true })
	if err != nil {
		return err
	}
	return s.replace([]uint64{old.number}, made, 0, func() { s.stats.rewritten.Add(1) })
}

// ErasedThrough returns the number up to which every erasure is done in all directories that have rows of its time,
// those that are being removed too, and in the log. What was erased by a number that is not larger is nowhere on the
// disk.
func (s *Store) ErasedThrough() uint64 {
	s.mu.Lock()
	m, e, removing := s.m, s.erasures, slices.Clone(s.removing)
	s.mu.Unlock()
	if e == nil {
		return 0
	}
	through := m.logErased
	look := func(d *directory) {
		for _, x := range e.behind(d.erased, d.firstMs) {
			through = min(through, x.Seq-1)
		}
	}
	for i := range m.directories {
		look(&m.directories[i])
	}
	for _, d := range removing {
		look(&d.directory)
	}
	return through
}

// LogEraseDue returns the number up to which erasures are to leave the commit log now, 0 for none.
func (s *Store) LogEraseDue(nowMs int64) uint64 {
	m, e := s.erasing()
	concerned := e.behind(m.logErased, 0)
	if len(concerned) == 0 || !s.isEraseDue(oldestMs(concerned), m.logErasedMs, nowMs-s.eraseLateMs()/2) {
		return 0
	}
	return e.seq
}

// LogErased says that the commit log has nothing any more of what was erased up to a number. That was begun at beganMs.
func (s *Store) LogErased(seq uint64, beganMs int64) error {
	return s.update(func(m *manifest) { m.logErased, m.logErasedMs = max(m.logErased, seq), beganMs }, func() {})
}

// MustReach has a run be due as soon as the group is gathered, so that the log can let go of it.
func (s *Store) MustReach(group uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mustReach = max(s.mustReach, group)
}

// EraseAfter returns Options.EraseAfter.
func (s *Store) EraseAfter() time.Duration { return s.o.EraseAfter }
