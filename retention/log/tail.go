package log

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// recoverTail reads the last segment whole, frame by frame, and takes over where the last group ends. One group is
// written at a time, and its sync is waited for before the next one is. So only the last frame may be torn, and only
// beyond the mark: then nobody was told that it is durable. Anything else is damage.
func (l *Log) recoverTail() error {
	w := &l.writer
	s := w.segment
	bad, behind, err := s.findEnd(w.f)
	for again := 0; l.readOnly && err == nil && behind > 0 && again < rescansMax; again++ {
		bad, behind, err = s.findEnd(w.f) // It was read while it was written.
	}
	switch {
	case err != nil:
		return err
	case behind > 0:
		return disk.Damage(s.path, "no whole frame is at %v; but the log goes on at byte %d", bad, behind)
	case s.last < l.mark.seq:
		return disk.Damage(s.path, "the log ends with group %d, but group %d was acknowledged (%v)", s.last, l.mark.seq, bad)
	}
	if l.readOnly {
		l.last, l.firstMs, l.lastMs, l.chain = s.last, s.firstMs, s.lastMs, s.chain
		return nil
	}
	if err := l.clearTorn(bad); err != nil {
		return err
	}
	if w.begins { // A torn write left one copy of the header.
		page := make([]byte, pageBytes)
		s.page(page)
		if _, err := w.f.WriteAt(page, 0); err != nil {
			return fmt.Errorf("write %q: %w", s.path, err)
		}
	}
	if err := disk.SyncData(w.f); err != nil {
		return err
	}
	w.take(w.f, s, max(s.bytes, l.smallBytes()))
	w.begins = false
	l.last, l.firstMs, l.lastMs, l.chain = s.last, s.firstMs, s.lastMs, s.chain
	if l.mark.seq == l.last {
		return nil
	}
	return l.mark.set(l.last)
}

// findEnd reads a segment up to the first frame that is none, and returns what it found there and where a frame begins
// behind it, or 0.
func (s *segment) findEnd(f *os.File) (bad *badFrame, behind int64, err error) {
	s.index = &index{}
	if bad, err = s.scan(f); err == nil {
		behind, err = frameBehind(f, s.salt, bad.at+frameAlign)
	}
	return bad, behind, err
}

// scan reads a segment up to the first frame that is none, builds its index, and returns what it found there.
func (s *segment) scan(f *os.File) (*badFrame, error) {
	c := (&view{segment: s, first: s.first, last: everything, limit: s.bytes, f: f}).cursor()
	var b batch
	for {
		err := c.read(&b, replayBatchBytes)
		for i := range b.groups {
			s.index.add(&b.groups[i], b.at[i])
		}
		var bad *badFrame
		if errors.As(err, &bad) {
			s.last, s.chain, s.firstMs, s.lastMs, s.end = c.next-1, c.before, c.firstMs, c.lastMs, c.off
			return bad, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// frameBehind looks for the beginning of a frame of this segment from byte `from` on, whether its header is whole or
// not, and returns its place, or 0. The salt is random and never leaves the file, so no payload has it.
func frameBehind(f *os.File, salt uint64, from int64) (int64, error) {
	want := binary.LittleEndian.AppendUint64(nil, salt)
	buf := make([]byte, replayBatchBytes)
	for at := from; ; at += int64(len(buf)) - frameFixedBytes {
		n, err := f.ReadAt(buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, fmt.Errorf("read %q: %w", f.Name(), err)
		}
		for i := 0; i < n; i++ {
			next := bytes.Index(buf[i:n], want)
			if next < 0 {
				break
			}
			i += next
			if start := i - 8; start >= 0 && (at+int64(start))%frameAlign == 0 &&
				binary.LittleEndian.Uint32(buf[start:]) == frameMagic {
				return at + int64(start), nil
			}
		}
		if n < len(buf) {
			return 0, nil
		}
	}
}

// clearTorn overwrites the header of a torn group and the rest of its page, so that it never comes back.
func (l *Log) clearTorn(bad *badFrame) error {
	s, f := l.writer.segment, l.writer.f
	torn := make([]byte, align(bad.at+frameFixedBytes, pageBytes)-bad.at)
	n, err := f.ReadAt(torn, bad.at)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %q: %w", s.path, err)
	}
	torn = torn[:n]
	isFrame := n >= 16 && binary.LittleEndian.Uint64(torn[8:]) == s.salt
	isPadded := bad.at%pageBytes != 0 // The group before wrote zeroes up to here.
	if !isFrame && !(isPadded && !allZero(torn)) {
		return nil // Behind a whole page lies what the file's earlier use left.
	}
	l.opts.Logger.Warn("a torn group beyond the mark was dropped: it was never acknowledged",
		"path", s.path, "byte", bad.at, "group", bad.seq, "mark", l.mark.seq, "reason", bad.reason)
	clear(torn)
	if _, err := f.WriteAt(torn, bad.at); err != nil {
		return fmt.Errorf("write %q: %w", s.path, err)
	}
	return nil
}
