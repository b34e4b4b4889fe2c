package log

import (
	"errors"
	"fmt"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// recover finds what the log holds and refuses what it must not go on with.
func (l *Log) recover() error {
	numbers, err := listSegments(l.opts.Path, l.readOnly)
	if err != nil {
		return err
	}
	l.mark, err = openMark(l.opts.Path, l.readOnly, l.opts.Logger)
	switch {
	case errors.Is(err, os.ErrNotExist) && len(numbers) == 0 && !l.readOnly:
		l.mark, err = createMark(l.opts.Path)
		return err
	case errors.Is(err, os.ErrNotExist):
		return disk.Damage(markPath(l.opts.Path), "it is missing, so nobody knows how far the log went")
	case err != nil:
		return err
	}
	if len(numbers) > 0 {
		l.number = numbers[len(numbers)-1] + 1
	}
	if err := l.recoverSegments(numbers); err != nil {
		return err
	}
	if len(l.segments) == 0 {
		return l.checkNeverBegun(numbers)
	}
	return l.recoverTail()
}

// recoverSegments reads the headers of all segments, the newest first. Files that were prepared come before the first
// begun one; behind it there is none.
func (l *Log) recoverSegments(numbers []uint64) error {
	for i := len(numbers) - 1; i >= 0; i-- {
		path := segmentPath(l.opts.Path, numbers[i])
		f, err := os.OpenFile(path, l.access(), 0)
		if err != nil {
			return fmt.Errorf("open %q: %w", path, err)
		}
		kept, err := l.recoverSegment(f, numbers[i])
		if !kept {
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// recoverSegment reads the header of one segment. It keeps the files of spares and of the last begun segment.
func (l *Log) recoverSegment(f *os.File, number uint64) (kept bool, err error) {
	isTail := len(l.segments) == 0 // nothing newer is begun
	if isTail && !l.readOnly {
		if err := readTrue(f); err != nil {
			return false, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return false, fmt.Errorf("measure %q: %w", f.Name(), err)
	}
	page, err := readBegun(f, number)
	switch {
	case err != nil:
		return false, err
	case !page.is && !isTail:
		return false, disk.Damage(f.Name(), "it was never begun, but %q was", l.segments[0].path)
	case !page.is:
		s := &spare{
			number: number,
			f:      f,
			bytes:  info.Size(),
			limit:  max(info.Size(), l.smallBytes()),
			done:   make(chan struct{}),
		}
		close(s.done)
		l.spares = append([]*spare{s}, l.spares...)
		return true, nil
	}
	if page.half {
		l.opts.Logger.Warn("a copy of a segment's header is damaged, the other one counts", "path", f.Name())
	}
	s := newSegment(l.opts.Path, page.header, info.Size())
	s.end, s.index = info.Size(), nil
	if isTail {
		l.writer.f, l.writer.segment = f, s
		l.writer.begins = page.half // recoverTail writes it again.
	} else if err := s.closedBy(l.segments[0]); err != nil {
		return false, err
	}
	l.segments = append([]*segment{s}, l.segments...)
	return isTail, nil
}

// closedBy takes the end of a closed segment from the header of the next one.
func (s *segment) closedBy(next *segment) error {
	if next.first <= s.first || next.beforeFirstMs < s.beforeFirstMs || next.beforeLastMs < s.beforeLastMs {
		return disk.Damage(s.path, "it begins with group %d, and %q goes on with group %d", s.first, next.path, next.first)
	}
	s.last, s.chain, s.firstMs, s.lastMs = next.first-1, next.before, next.beforeFirstMs, next.beforeLastMs
	return nil
}

// readTrue makes sure that what is read from f comes from the disk and stays there. After a sync that failed, or a
// process that was killed, the page cache still shows what the disk may not have. What was not written yet is written
// now: it was never acknowledged, but it may be whole. Pages whose writing failed before are clean for the kernel, and
// are dropped.
func readTrue(f *os.File) error {
	if err := disk.SyncData(f); err != nil {
		return err
	}
	forget(f)
	return nil
}

// checkNeverBegun allows what the first start of a log may leave: no segment, or the first ones, prepared.
func (l *Log) checkNeverBegun(numbers []uint64) error {
	switch {
	case l.mark.seq > 0:
		return disk.Damage(l.opts.Path, "no segment in it was begun, but group %d was acknowledged", l.mark.seq)
	case len(numbers) > 0 && numbers[0] != 1:
		return disk.Damage(segmentPath(l.opts.Path, numbers[0]), "it was never begun, and the segments before it are missing")
	}
	return nil
}
