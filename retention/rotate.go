package retention

import (
	"fmt"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// due reports whether the directory that is written has had its span or its bytes. Decided times count, not the clock:
// they never go back. l.mu is held.
func (l *Log) due(nowMs int64) bool {
	s := l.writer
	return !s.empty() && (nowMs-s.firstMs >= l.opts.Span.Milliseconds() || s.bytes >= l.opts.DirBytesMax)
}

// rotate takes over the next directory if it is open, and has it opened in the background if it is due: no Append waits
// for an open, groups go into the old directory until the new one is ready. l.appending is held.
func (l *Log) rotate(nowMs int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil {
		l.takeNext()
		return nil
	}
	if l.due(nowMs) && !l.opening {
		l.opening = true
		base := l.last + 1
		l.wg.Go(func() {
			if err := l.openNext(base); err != nil {
				l.fail(err)
			}
		})
	}
	return l.failure
}

// openNext makes the next directory and leaves it for the next Append.
func (l *Log) openNext(base uint64) error {
	s, in, err := l.makeSpan(base)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opening = false
	if err != nil {
		return fmt.Errorf("open the next commit directory: %w", err)
	}
	in.log.arm()
	l.next, l.nextIn = s, in
	return nil
}

// makeSpan makes a directory in which no group comes before base.
func (l *Log) makeSpan(base uint64) (*span, *instance, error) {
	s := &span{path: spanPath(l.opts.Path, base), base: base}
	if err := disk.MakeDir(s.path); err != nil {
		return nil, nil, err
	}
	in, err := openInstance(s.path, commitSize(), false, l.newInstanceLog(s.path))
	return s, in, err
}

// takeNext switches to the directory that was opened ahead; the old one is closed in the background when its last
// reader leaves. l.appending and l.mu are held.
func (l *Log) takeNext() {
	old := l.writer
	l.writer, l.instance = l.next, l.nextIn
	l.next, l.nextIn = nil, nil
	l.spans = append(l.spans, l.writer)
	l.pool.writable(l.writer, l.instance)
	l.pool.retire(old)
}

// removeSpan removes a directory so that a crash leaves either all of it or a leftover that the next start removes.
func removeSpan(path string) error {
	dropping := path + droppingSuffix
	if err := os.Rename(path, dropping); err != nil {
		return fmt.Errorf("drop %q: %w", path, err)
	}
	if err := syncParent(path); err != nil {
		return err
	}
	return disk.RemoveAllGently(dropping)
}
