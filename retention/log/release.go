package log

import (
	"fmt"

	"github.com/meterd/meterd/retention/disk"
)

// Release frees the disk of what is older than the retention: whole segments, oldest first, each only when its newest
// group was decided more than Retention before nowMs (unless Options.Archived) and is not newer than `passed`, the
// group that every view has durably passed. It also ends the open segment when its first group is older than a seventh
// of the retention, so that the disk of a quiet log is freed in time (R18). A segment that is being read is left for
// the next call. nowMs is the time that meterd decides by (R12), not the bare clock: one that leapt ahead would free
// what is not old. Release may take long and runs beside everything else. An error after which the log could not be
// trusted ends it, as one of Append does. After any other the log is whole, and another call would try again; the
// engine makes none, for it ends on every error of Release: a disk that failed is not asked again before a restart has
// read what is there.
func (l *Log) Release(nowMs int64, passed uint64) error {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	if err := l.release(nowMs, passed); err != nil {
		return fmt.Errorf("release segments of the commit log: %w", err)
	}
	return nil
}

func (l *Log) release(nowMs int64, passed uint64) error {
	if err := l.failed(); err != nil {
		return err
	}
	if err := l.end(func(s *segment) bool { return l.isOld(s, nowMs) }); err != nil {
		l.stop(err)
		return err
	}
	for {
		s := l.takeOldest(nowMs, passed)
		if s == nil {
			return nil
		}
		leftover, err := l.recycle(s)
		if err == nil && leftover != "" {
			err = disk.RemoveGently(leftover)
		}
		if err != nil {
			return err
		}
	}
}

// putBack keeps a segment that could not be released, so that no newer one goes before it.
func (l *Log) putBack(s *segment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segments = append([]*segment{s}, l.segments...)
}

// takeOldest takes the oldest segment away from readers if it may go. The open one never goes, so that the log always
// knows where it stands.
func (l *Log) takeOldest(nowMs int64, passed uint64) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) < 2 {
		return nil
	}
	s := l.segments[0]
	if s.readers > 0 || s.last > passed || !l.opts.Archived && nowMs-s.lastMs <= l.opts.Retention.Milliseconds() {
		return nil
	}
	l.segments = l.segments[1:]
	l.dropIndex(s)
	return s
}

// isOld reports whether the first group of the open segment is old enough for it to be ended. l.mu is held.
func (l *Log) isOld(s *segment, nowMs int64) bool {
	span := max(l.opts.Retention/spansARetention, spanMin)
	return nowMs-s.index.entries[0].firstMs >= span.Milliseconds()
}

// due returns the open segment if it is to be ended.
func (l *Log) due(is func(*segment) bool) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.segments) == 0 {
		return nil
	}
	s := l.segments[len(l.segments)-1]
	if s.isEmpty() || !is(s) {
		return nil
	}
	return s
}

// end ends the open segment if it is due and has a group: the next one is begun without a frame. is is asked with l.mu
// held.
func (l *Log) end(is func(*segment) bool) error {
	if l.due(is) == nil {
		return nil
	}
	l.appending.Lock()
	limit := l.nextBytes()
	l.appending.Unlock()
	if err := l.prepare(limit); err != nil { // Nobody waits for it.
		return err
	}
	s, err := l.beginEmpty(is)
	if s == nil || err != nil {
		return err
	}
	return l.trim(s)
}

// beginEmpty begins the next segment and returns the one that it ended.
func (l *Log) beginEmpty(is func(*segment) bool) (*segment, error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.failed(); err != nil {
		return nil, err
	}
	s := l.due(is)
	if s == nil || s != l.writer.segment {
		return nil, nil
	}
	if err := l.switchSegment(); err != nil {
		return nil, err
	}
	w := &l.writer
	w.segment.page(w.page)
	if err := writePieces(w.f, [][]byte{w.page}, 0); err != nil {
		return nil, err
	}
	if err := disk.SyncData(w.f); err != nil {
		return nil, err
	}
	w.begins = false
	l.mu.Lock()
	defer l.mu.Unlock()
	w.segment.bytes = max(w.segment.bytes, pageBytes)
	l.show(w.segment)
	return s, nil
}

// trim gives back what an ended segment did not use, if that is more than half of it: it is not worth recycling then.
func (l *Log) trim(s *segment) error {
	l.mu.Lock()
	bytes, used := s.bytes, align(s.end, pageBytes)
	l.mu.Unlock()
	if used > bytes/2 {
		return nil
	}
	if err := disk.ShortenGently(s.path, bytes, used); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.bytes = used
	return nil
}
