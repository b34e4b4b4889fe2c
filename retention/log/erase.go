package log

import (
	"fmt"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// Erase begins to free the disk of every byte of the groups that are durable now, wherever an earlier use of a file has
// left some: prepared files that were segments before are removed, the open segment is ended, and until Erased reports
// true released segments are removed and none is used again. The groups up to `through` leave with the segments, as
// soon as Release is told that every view has passed them. An error ends the log. What Erase has begun is forgotten
// when the log is closed: whoever needs it begins again.
//
//	segment-41   segment-42 (open)  segment-43 (prepared)            segment-41   segment-42     segment-44 (open)
//	┌─┬──┬──┐    ┌─┬───┬──────┐     ┌─┬──────────────┐    Erase      ┌─┬──┬──┐    ┌─┬───┬────┐   ┌─┬───────────┐
//	│H│g7│g8│    │H│g9 │ old  │     │h│ old          │   ───────►    │H│g7│g8│    │H│g9 │old │   │H│ zeroes    │
//	└─┴──┴──┘    └─┴───┴──────┘     └─┴──────────────┘               └─┴──┴──┘    └─┴───┴────┘   └─┴───────────┘
//	                                                                  └ through = 9: Release removes both ┘
//
// (The number of a removed file is given again, so the new one is segment-43.)
func (l *Log) Erase() (through uint64, err error) {
	l.releasing.Lock()
	defer l.releasing.Unlock()
	if through, err = l.erase(); err != nil {
		err = fmt.Errorf("erase from the commit log: %w", err)
		l.stop(err)
	}
	return through, err
}

func (l *Log) erase() (through uint64, err error) {
	if err := l.failed(); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.erasing = true // From now on nothing but new files is prepared.
	l.mu.Unlock()
	if err := l.dropUsed(); err != nil {
		return 0, err
	}
	if err := l.end(func(*segment) bool { return true }); err != nil {
		return 0, err
	}
	if err := l.scrub(); err != nil {
		return 0, err
	}
	if err := l.end(func(s *segment) bool { return !s.isNew }); err != nil { // A group came before it was scrubbed.
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.segments); n > 0 {
		// Groups that came meanwhile, in a new file, may stay: those before are what the caller knew.
		return l.segments[n-1].first - 1, nil
	}
	return l.last, nil
}

// Erased reports whether no file holds a byte of the groups up to `through`, or of any before them. Then released
// segments are used again.
func (l *Log) Erased(through uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.spares {
		if !s.isNew {
			return false
		}
	}
	for _, s := range l.segments {
		if s.first <= through || !s.isNew {
			return false
		}
	}
	l.erasing = false
	return true
}

// dropUsed removes prepared files that were segments before, the newest first, so that a crash leaves no gap between
// their numbers. A file that is being filled with zeroes is new, and comes before them: only the first one is made
// while there is no other.
func (l *Log) dropUsed() error {
	var removing []string
	for {
		path, err := l.dropOneUsed()
		if err != nil {
			return err
		}
		if path == "" {
			break
		}
		removing = append(removing, path)
	}
	for _, path := range removing { // Nobody waits for a name meanwhile.
		if err := disk.RemoveGently(path); err != nil {
			return err
		}
	}
	return nil
}

// dropOneUsed gives the newest prepared file another name, durably, if it or one before it was a segment, so that it is
// removed. It returns that name, "" if there is none to be removed.
func (l *Log) dropOneUsed() (path string, err error) {
	l.naming.Lock()
	defer l.naming.Unlock()
	s := l.takeUsed()
	if s == nil {
		return "", nil
	}
	if err := s.f.Close(); err != nil {
		return "", fmt.Errorf("close %q: %w", s.f.Name(), err)
	}
	path = segmentPath(l.opts.Path, s.number)
	if err := os.Rename(path, path+removingSuffix); err != nil {
		return "", fmt.Errorf("remove %q: %w", path, err)
	}
	if err := disk.SyncDir(l.opts.Path); err != nil {
		return "", err
	}
	l.number = s.number
	return path + removingSuffix, nil
}

// takeUsed takes the newest prepared file away if it or one before it was a segment. l.naming is held.
func (l *Log) takeUsed() *spare {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := len(l.spares) - 1
	for _, s := range l.spares {
		if !s.isNew {
			taken := l.spares[last]
			l.spares = l.spares[:last]
			return taken
		}
	}
	return nil
}

// scrub writes zeroes over what an earlier use of the file has left in the open segment, if no group is in it yet: it
// cannot be ended then. It works in steps from the end of the file; a group that is appended between two of them stops
// it.
func (l *Log) scrub() error {
	l.mu.Lock()
	to := int64(0)
	if n := len(l.segments); n > 0 && l.segments[n-1].isEmpty() {
		to = l.segments[n-1].bytes
	}
	l.mu.Unlock()
	zeroes := make([]byte, zeroBytes)
	for to > 0 {
		var err error
		if to, err = l.scrubStep(zeroes, to); err != nil {
			return err
		}
	}
	return nil
}

// scrubStep overwrites what lies before byte `to` of the open segment and returns where it began, 0 at the end.
func (l *Log) scrubStep(zeroes []byte, to int64) (from int64, err error) {
	l.appending.Lock()
	defer l.appending.Unlock()
	s, f := l.writer.segment, l.writer.f
	l.mu.Lock()
	skip := s.isNew || !s.isEmpty()
	l.mu.Unlock()
	if skip {
		return 0, l.failed()
	}
	from = max(pageBytes, to-int64(len(zeroes)))
	if n := to - from; n > 0 {
		if _, err := f.WriteAt(zeroes[:n], from); err != nil {
			return 0, fmt.Errorf("write %q: %w", s.path, err)
		}
		if err := writeOut(f, from, n); err != nil {
			return 0, err
		}
	}
	if from > pageBytes {
		return from, nil
	}
	if err := disk.SyncData(f); err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.isNew = true
	return 0, nil
}
