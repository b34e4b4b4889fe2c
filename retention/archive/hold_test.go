package archive

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestHold copies an archive whose directories are merged and removed meanwhile: the copy has the rows of its position,
// and what was held is removed when it is let go.
func TestHold(t *testing.T) {
	h := newHistory(1, 12)
	o := Options{Retention: 2 * day, Path: filepath.Join(t.TempDir(), "archive"), memoryBytes: 60_000, blockRows: 8}
	s := testStore(t, o)
	write := func(n int) {
		for range n {
			g := h.next(5, 30*time.Minute)
			g.feed(t, s)
			if err := s.WriteRun(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(12)
	held, err := s.Hold()
	if err != nil {
		t.Fatal(err)
	}
	nowMs := h.nowMs
	write(mergeRuns + 20)
	if err := s.Tidy(t.Context(), h.nowMs); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "archive")
	for _, name := range held.Directories() {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(o.Path, name))); err != nil {
			t.Fatalf("a directory is gone that is held: %v", err)
		}
	}
	name, data := held.Manifest()
	if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
		t.Fatal(err)
	}
	gone := 0
	for _, name := range held.Directories() {
		held.s.mu.Lock()
		for _, d := range held.dirs {
			if d.name() == name && d.gone {
				gone++
			}
		}
		held.s.mu.Unlock()
	}
	held.Close()
	if gone == 0 {
		t.Fatal("nothing was merged meanwhile")
	}
	if err := s.Tidy(t.Context(), h.nowMs); err != nil || len(s.removing) > 0 {
		t.Fatalf("%d directories are left of those that were held, %v", len(s.removing), err)
	}
	o.Path = to
	c := testStore(t, o)
	if c.Position() != held.Position() {
		t.Fatalf("the copy ends with group %d", c.Position().Seq)
	}
	for ordinal := range uint64(12) {
		same(t, "the copy", read(t, c, query(ordinal), nowMs), h.want(c, ordinal, c.Position().Seq, nowMs))
	}
}
