package log

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/meterd/meterd/retention/disk"
)

// writer is the segment that is written.
type writer struct {
	f       *os.File
	segment *segment
	off     int64 // of the next frame, aligned
	limit   int64 // a frame that would go beyond begins the next segment
	begins  bool  // the header page is written with the next frame
	header  []byte
	staged  []byte // a small group in one piece
	page    []byte // header page
	zeroes  []byte // a page
}

// Append writes one group and returns nil when it is on disk: one pwritev, one fdatasync. It sets g.Chain and keeps
// nothing of g. It is called by one goroutine, with groups in their order. After an error the group may have reached
// the disk or not, and every later call fails: the process must end, and the next start tells.
func (l *Log) Append(g *Group) error {
	l.appending.Lock()
	defer l.appending.Unlock()
	if err := l.failed(); err != nil {
		return err
	}
	if err := l.append(g); err != nil {
		err = fmt.Errorf("append to the commit log: %w", err)
		l.stop(err)
		return err
	}
	return nil
}

func (l *Log) append(g *Group) error {
	before, err := l.admit(g)
	if err != nil {
		return err
	}
	l.frame.of(g, 0, before)
	w := &l.writer
	if n := l.frame.bytes(); w.f == nil || !w.begins && w.off > pageBytes && w.off+n > w.limit {
		if err := l.switchSegment(); err != nil {
			return err
		}
	}
	l.frame.salt = w.segment.salt
	w.header = l.frame.append(w.header[:0])
	if err := l.write(g); err != nil {
		return err
	}
	if err := l.mark.set(g.Seq); err != nil {
		return err
	}
	g.Chain = chainOf(w.header)
	l.account(g)
	return nil
}

// admit refuses a group that is not the next one, or goes back in time. It returns the Chain that it must carry.
func (l *Log) admit(g *Group) (before Chain, err error) {
	if err := g.validate(); err != nil {
		return before, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case g.Seq != l.last+1:
		return before, fmt.Errorf("group %d does not follow group %d", g.Seq, l.last)
	case l.last > 0 && (g.FirstMs < l.firstMs || g.LastMs < l.lastMs):
		return before, fmt.Errorf("group %d was decided at %d to %d, before group %d at %d to %d",
			g.Seq, g.FirstMs, g.LastMs, l.last, l.firstMs, l.lastMs)
	}
	return l.chain, nil
}

// write is the one write and the one sync. Pages are written whole: zeroes follow the frame up to the end of its last
// page, so that the kernel reads no page of a recycled file to write a part of it. The next frame overwrites them.
func (l *Log) write(g *Group) error {
	w := &l.writer
	at := w.off
	pieces := l.pieces[:0]
	if w.begins {
		at = 0
		w.segment.page(w.page)
		pieces = append(pieces, w.page)
	}
	end := w.off + l.frame.bytes()
	padding := w.zeroes[:align(end, pageBytes)-end]
	if l.frame.bytes() <= stagedBytes {
		w.staged = append(append(w.staged[:0], w.header...), g.Head...)
		for _, c := range g.Chunks {
			w.staged = append(w.staged, c...)
		}
		w.staged = append(w.staged, padding...)
		pieces = append(pieces, w.staged)
	} else {
		pieces = append(pieces, w.header, g.Head)
		pieces = append(append(pieces, g.Chunks...), padding)
	}
	err := writePieces(w.f, pieces, at)
	clear(pieces) // Nothing of the group is kept.
	l.pieces = pieces[:0]
	if err != nil {
		return err
	}
	return disk.SyncData(w.f)
}

// account makes the group that is on disk visible.
func (l *Log) account(g *Group) {
	w := &l.writer
	at, end := w.off, w.off+l.frame.bytes()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := w.segment
	if w.begins {
		w.begins = false
		l.show(s)
	}
	s.index.add(g, at)
	s.last, s.firstMs, s.lastMs, s.chain = g.Seq, g.FirstMs, g.LastMs, g.Chain
	w.off = align(end, frameAlign)
	s.end, s.bytes = w.off, max(s.bytes, align(end, pageBytes))
	l.last, l.firstMs, l.lastMs, l.chain = g.Seq, g.FirstMs, g.LastMs, g.Chain
	l.prepareAhead()
}

// show makes a segment whose header is on disk the open one. l.mu is held.
func (l *Log) show(s *segment) {
	if n := len(l.segments); n > 0 && l.segments[n-1].index != nil {
		l.keepIndex(l.segments[n-1])
	}
	l.segments = append(l.segments, s)
}

// switchSegment goes on in the next file, to be begun with the next frame. l.appending is held.
func (l *Log) switchSegment() error {
	next, err := l.takeSpare()
	if err != nil {
		return err
	}
	w := &l.writer
	if w.f != nil {
		// Everything in it was synced.
		if err := w.f.Close(); err != nil {
			return errors.Join(fmt.Errorf("close %q: %w", w.segment.path, err), next.f.Close())
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	h := header{
		number:        next.number,
		salt:          newSalt(),
		first:         l.last + 1,
		before:        l.chain,
		beforeFirstMs: l.firstMs,
		beforeLastMs:  l.lastMs,
	}
	s := newSegment(l.opts.Path, h, next.bytes)
	s.isNew = next.isNew
	w.take(next.f, s, next.limit)
	w.begins = true
	return nil
}

// newSegment is a segment without groups.
func newSegment(dir string, h header, bytes int64) *segment {
	return &segment{
		header: h, path: segmentPath(dir, h.number), last: h.first - 1, chain: h.before,
		firstMs: h.beforeFirstMs, lastMs: h.beforeLastMs, end: pageBytes, bytes: bytes, index: &index{},
	}
}

func (w *writer) take(f *os.File, s *segment, limit int64) {
	w.f, w.segment, w.off, w.limit = f, s, s.end, limit
	if w.page == nil {
		w.page, w.zeroes = make([]byte, pageBytes), make([]byte, pageBytes)
	}
}

// newSalt is never 0, which is what a file full of zeroes has.
func newSalt() uint64 {
	var b [8]byte
	for {
		rand.Read(b[:]) // It never fails: crypto/rand ends the process instead.
		if salt := binary.LittleEndian.Uint64(b[:]); salt != 0 {
			return salt
		}
	}
}
