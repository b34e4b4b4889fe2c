package retention

import (
	"fmt"
	"path/filepath"

	"github.com/meterd/meterd/retention/disk"
)

// Drop frees the disk of what is older than the retention: whole directories, oldest first, each only when its newest
// group was decided more than Retention before nowMs and an installed checkpoint has passed its last group. The
// directory that is written is never dropped; when nothing is appended any more, it is closed after its span like any
// other, so that it can be. A directory that somebody reads waits for the next call. Drop may take long and runs beside
// Append and Scan. nowMs is the time that meterd decides by (R12), not the bare clock: one that leapt ahead would free
// what is not old.
func (l *Log) Drop(nowMs int64, passed uint64) error {
	l.dropping.Lock()
	defer l.dropping.Unlock()
	if err := l.rotateIdle(nowMs); err != nil {
		l.fail(err)
		return err
	}
	for {
		s, rest, err := l.oldest(nowMs, passed)
		if s == nil || err != nil {
			return err
		}
		// Without any group left, the log must still know where it stands.
		if rest == nil && !s.empty() {
			if err := l.writeBase(); err != nil {
				return err
			}
		}
		if !l.pool.drop(s) {
			return nil
		}
		l.mu.Lock()
		l.spans = l.spans[1:]
		l.mu.Unlock()
		if err := removeSpan(s.path); err != nil {
			return err
		}
	}
}

// oldest returns the oldest directory if it may go, and the next one that has a group.
func (l *Log) oldest(nowMs int64, passed uint64) (s, rest *span, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s = l.spans[0]
	if s == l.writer || !s.empty() && (s.last > passed || nowMs-s.lastMs <= l.opts.Retention.Milliseconds()) {
		return nil, nil, nil
	}
	if l.failure != nil {
		return nil, nil, fmt.Errorf("drop commit directories: %w", l.failure)
	}
	for _, other := range l.spans[1:] {
		if !other.empty() {
			return s, other, nil
		}
	}
	return s, nil, nil
}

// rotateIdle does what the next Append would do, for a log to which nothing is appended.
func (l *Log) rotateIdle(nowMs int64) error {
	l.mu.Lock()
	due := l.failure == nil && l.next == nil && !l.opening && l.due(nowMs)
	base := l.last + 1
	l.opening = l.opening || due
	l.mu.Unlock()
	if due {
		if err := l.openNext(base); err != nil {
			return err
		}
	}
	l.appending.Lock()
	defer l.appending.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil && l.failure == nil {
		l.takeNext()
	}
	return nil
}

// writeBase notes in the directory that is written where the log stood before its first group.
func (l *Log) writeBase() error {
	l.mu.Lock()
	path := filepath.Join(l.writer.path, baseName)
	was := bounds{last: l.last, lastMs: l.lastMs, chain: l.chain}
	l.mu.Unlock()
	return disk.WriteSynced(path, disk.EncodeSealed(baseTitle, was.fields()))
}

func syncParent(path string) error { return disk.SyncDir(filepath.Dir(path)) }
