package log

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/meterd/meterd/retention/disk"
)

// spare is a file that is prepared to be the next segment: it has its final name, durably, and is not begun. Its header
// page is blank or names another number.
type spare struct {
	number uint64
	f      *os.File
	limit  int64         // how long the segment is to become
	bytes  int64         // of the file
	isNew  bool          // it was never a segment: it holds no byte of any group
	hurry  atomic.Bool   // Append waits: no more zeroes
	done   chan struct{} // closed when no zeroes are written to it any more
}

// prepareAhead has the next file prepared in the background if there is none and the open one needs a successor soon. A
// large segment was given because much is logged, so its successor is prepared at once. l.mu and l.appending are held.
func (l *Log) prepareAhead() {
	w := &l.writer
	soon := w.limit >= l.opts.SegmentBytes || w.off >= w.limit/2
	if !soon || l.preparing || len(l.spares) > 0 || l.failure != nil || !l.opts.Room() {
		return
	}
	l.preparing = true
	l.wg.Go(func() {
		err := l.prepare(l.opts.SegmentBytes)
		l.mu.Lock()
		l.preparing = false
		l.mu.Unlock()
		if err != nil {
			l.fail(err)
		}
	})
}

// prepare makes the next file if there is none, and fills it with zeroes: a sync of blocks that were written before has
// no metadata to write.
func (l *Log) prepare(limit int64) error {
	s, err := l.create(limit)
	if s == nil || err != nil {
		return err
	}
	defer close(s.done)
	if l.failed() != nil || !l.opts.Room() {
		return nil
	}
	bytes, err := s.zero()
	if errors.Is(err, unix.ENOSPC) { // It is a file that grows when it is needed.
		bytes, err = 0, s.f.Truncate(0)
	}
	if err != nil {
		return fmt.Errorf("prepare the next segment: %w", err)
	}
	l.mu.Lock()
	s.bytes = max(s.bytes, bytes)
	l.mu.Unlock()
	return nil
}

// create makes the next file if there is none, else it returns nil. The caller closes done.
func (l *Log) create(limit int64) (*spare, error) {
	l.naming.Lock()
	defer l.naming.Unlock()
	l.mu.Lock()
	have := len(l.spares)
	l.mu.Unlock()
	if have > 0 {
		return nil, nil
	}
	path := segmentPath(l.opts.Path, l.number)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create %q: %w", path, err)
	}
	s := &spare{number: l.number, f: f, limit: limit, isNew: true, done: make(chan struct{})}
	if err := l.give(s); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// give makes a spare's name durable and allocates its blocks, as far as there is room. l.naming is held.
func (l *Log) give(s *spare) error {
	if s.bytes == 0 && l.opts.Room() {
		ok, err := allocate(s.f, s.limit)
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			return err
		}
		switch {
		case err != nil: // Nothing is kept of a part that others may need.
			if err := s.f.Truncate(0); err != nil {
				return fmt.Errorf("shorten %q: %w", s.f.Name(), err)
			}
		case ok:
			s.bytes = s.limit
		}
	}
	if err := disk.SyncDir(l.opts.Path); err != nil {
		return err
	}
	l.number++
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spares = append(l.spares, s)
	return nil
}

// zero fills the file in small steps, until Append waits for it. The zeroes go past the page cache where the file
// system can do that: copying them there took 9 % of the processor time of a daemon that logs 45 MB/s.
func (s *spare) zero() (bytes int64, err error) {
	zeroes, err := disk.NewPages(zeroBytes)
	if err != nil {
		return 0, err
	}
	defer disk.FreePages(zeroes)
	to, err := openDirect(s.f)
	if err != nil {
		return 0, err
	}
	defer to.Close() // What was written is synced below.
	for bytes < s.limit {
		if s.hurry.Load() {
			return bytes, nil
		}
		n := min(s.limit-bytes, zeroBytes)
		_, err := to.WriteAt(zeroes[:n], bytes)
		if errors.Is(err, unix.EINVAL) { // The file system has larger blocks, or says only now that it cannot.
			_, err = s.f.WriteAt(zeroes[:n], bytes)
		}
		if err != nil {
			return bytes, fmt.Errorf("write %q: %w", s.f.Name(), err)
		}
		if err := writeOut(s.f, bytes, n); err != nil {
			return bytes, err
		}
		bytes += n
	}
	return bytes, disk.SyncData(s.f)
}

// takeSpare returns the next file. It is made if nobody had the time to.
func (l *Log) takeSpare() (*spare, error) {
	for {
		l.mu.Lock()
		var s *spare
		if len(l.spares) > 0 {
			s, l.spares = l.spares[0], l.spares[1:]
		}
		l.mu.Unlock()
		if s != nil {
			s.hurry.Store(true)
			<-s.done
			return s, l.failed()
		}
		s, err := l.create(l.nextBytes())
		if err != nil {
			return nil, err
		}
		if s != nil {
			close(s.done)
		}
	}
}

// nextBytes is the size of the next segment: small until much is logged. l.appending is held.
func (l *Log) nextBytes() int64 {
	if w := &l.writer; w.f != nil && w.off >= w.limit/2 {
		return l.opts.SegmentBytes
	}
	return l.smallBytes()
}

// recycle renames a released segment to be the next one, or, if that has no use, to a leftover that is to be removed.
// Its name is durably gone when this returns, so that names go in the order of their numbers, and a crash leaves no
// gap.
func (l *Log) recycle(s *segment) (leftover string, err error) {
	l.naming.Lock()
	defer l.naming.Unlock()
	l.mu.Lock()
	useful := len(l.spares) < sparesMax && s.bytes == l.opts.SegmentBytes && !l.erasing
	l.mu.Unlock()
	if useful = useful && l.opts.Room(); !useful {
		leftover = s.path + removingSuffix
		if err := os.Rename(s.path, leftover); err != nil {
			l.putBack(s)
			return "", fmt.Errorf("remove %q: %w", s.path, err)
		}
		if err = disk.SyncDir(l.opts.Path); err != nil {
			l.stop(err)
		}
		return leftover, err
	}
	path := segmentPath(l.opts.Path, l.number)
	if err := os.Rename(s.path, path); err != nil {
		l.putBack(s)
		return "", fmt.Errorf("recycle %q: %w", s.path, err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err == nil {
		next := &spare{number: l.number, f: f, limit: s.bytes, bytes: s.bytes, done: make(chan struct{})}
		close(next.done)
		if err = l.give(next); err != nil {
			_ = f.Close() // Nothing was written to it.
		}
	}
	if err != nil {
		err = fmt.Errorf("recycle %q as %q: %w", s.path, path, err)
		l.stop(err) // Nobody knows which of the two names it has after a crash.
	}
	return "", err
}
