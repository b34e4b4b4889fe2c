package log

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
)

// Hold keeps the log's files on the disk while they are copied. Groups are appended meanwhile, and nothing is released.
// It belongs to one goroutine and must be closed.
type Hold struct {
	l       *Log
	oldest  *segment // keeps all that follow: segments are released in their order
	cut     []*view
	last    uint64
	lastMs  int64
	chain   Chain
	isCut   bool
	batches batch
}

// Hold begins to hold every group that is there now, and those that come.
func (l *Log) Hold() *Hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &Hold{l: l}
	if len(l.segments) > 0 {
		h.oldest = l.segments[0]
		h.oldest.readers++
	}
	return h
}

// Cut decides where the copy ends: behind the last group that is durable now. What is copied before the log must be of
// that group or earlier ones, so whatever else is copied is opened before.
func (h *Hold) Cut() (seq uint64, lastMs int64, chain Chain) {
	l := h.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if !h.isCut {
		h.isCut, h.last, h.lastMs, h.chain = true, l.last, l.lastMs, l.chain
		for _, s := range l.segments {
			h.cut = append(h.cut, l.hold(s))
		}
	}
	return h.last, h.lastMs, h.chain
}

// First returns the oldest group of the cut, one more than its last when it has none.
func (h *Hold) First() uint64 {
	if len(h.cut) == 0 {
		return h.last + 1
	}
	return h.cut[0].first
}

// Files returns how many segments Copy has.
func (h *Hold) Files() int { return len(h.cut) }

// Copy reads a segment up to the last group that belongs to it and to the cut, proves every group of it, and then gives
// its name and bytes to take. What an earlier use of the file has left is not among them.
func (h *Hold) Copy(ctx context.Context, i int, take func(name string, r io.Reader, bytes int64) error) error {
	v := h.cut[i]
	f, err := h.copy(ctx, v, take)
	h.l.letGo(v)
	h.cut[i] = nil
	if err != nil {
		return fmt.Errorf("copy %q: %w", f, err)
	}
	return nil
}

func (h *Hold) copy(
	ctx context.Context, v *view, take func(name string, r io.Reader, bytes int64) error,
) (path string, err error) {
	if err := v.openFile(); err != nil {
		return v.path, err
	}
	c := v.cursor()
	for !c.done() {
		if err := ctx.Err(); err != nil {
			return v.path, err
		}
		if err := c.read(&h.batches, replayBatchBytes); err != nil {
			return v.path, damagedAt(v.path, err)
		}
	}
	end := align(c.off, pageBytes)
	padding := io.LimitReader(zeroReader{}, end-c.off)
	return v.path, take(filepath.Base(v.path), io.MultiReader(io.NewSectionReader(v.f, 0, c.off), padding), end)
}

// zeroReader never ends.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// Mark returns the content of the file MARK that says that the cut's last group was acknowledged.
func (h *Hold) Mark() (name string, data []byte) {
	data = make([]byte, markStride+markBytes)
	encodeMark(data, h.last)
	encodeMark(data[markStride:], h.last)
	return filepath.Base(markPath("")), data
}

// Close lets go of the files.
func (h *Hold) Close() {
	l := h.l
	for i, v := range h.cut {
		l.letGo(v)
		h.cut[i] = nil
	}
	h.cut = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.oldest != nil {
		h.oldest.readers--
		h.oldest = nil
	}
}
