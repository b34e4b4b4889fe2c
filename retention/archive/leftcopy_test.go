package archive

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestLeftCopy: what was copied and is not adopted leaves the disk when the archive follows nobody any more.
func TestLeftCopy(t *testing.T) {
	h := newHistory(3, 4)
	a, b := testStore(t, Options{Retention: 7 * day}), testStore(t, Options{Retention: 7 * day})
	b.SetFollows(true)
	for range 2 {
		g := h.next(30, 8*time.Hour)
		g.feed(t, a)
		if err := a.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	from := &other{s: a}
	from.cut = func(n int) int {
		if from.sent > 1 {
			return n / 2
		}
		return n
	}
	if _, err := b.Copy(t.Context(), from, upTo(h.seq, h.nowMs)); err == nil {
		t.Fatal("half a directory was copied")
	}
	b.SetFollows(false) // It is promoted.
	if err := b.Tidy(t.Context(), h.nowMs); err != nil {
		t.Fatal(err)
	}
	if len(b.m.directories) != 0 {
		t.Fatal("something was adopted")
	}
	left, err := filepath.Glob(filepath.Join(b.o.Path, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range left {
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			t.Errorf("%s is on the disk, and no manifest names it", path)
		}
	}
}
