package log

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copyHeld writes what a hold has to a new directory.
func copyHeld(t testing.TB, h *Hold) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "commit")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	put := func(name string, r io.Reader, size int64) error {
		b, err := io.ReadAll(r)
		if err == nil && int64(len(b)) != size {
			t.Errorf("%s has %d bytes, and not %d as it was said", name, len(b), size)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		return err
	}
	for i := range h.Files() {
		if err := h.Copy(t.Context(), i, put); err != nil {
			t.Fatal(err)
		}
	}
	name, data := h.Mark()
	if err := put(name, bytes.NewReader(data), int64(len(data))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestHold copies a log that goes on and would release everything: the copy ends with the cut's group, is a log that is
// opened and appended to, and the segments go as soon as they are let go.
func TestHold(t *testing.T) {
	for n := range 40 { // Wherever the last group lies within its segment.
		l, groups := newLog(t, 60+n, 4000)
		l.opts.Archived = true
		h := l.Hold()
		groups = append(groups, appendGroups(t, l, 7, 4000)...)
		seq, _, chain := h.Cut()
		later := appendGroups(t, l, 20, 4000)
		last := later[len(later)-1].Seq
		if err := l.Release(1, last); err != nil || l.First() != 1 || h.First() != 1 {
			t.Fatalf("it begins with group %d, the hold with %d, %v: the segments are held", l.First(), h.First(), err)
		}
		dir := copyHeld(t, h)
		h.Close()
		if err := l.Release(1, last); err != nil || l.First() == 1 {
			t.Fatalf("it begins with group %d, %v: nobody holds the segments", l.First(), err)
		}
		c := openLog(t, testOptions(dir))
		if got, _, gotChain := c.Last(); int(seq) != len(groups) || got != seq || gotChain != chain {
			t.Fatalf("the copy ends with group %d, want %d of %d", got, seq, len(groups))
		}
		readAll(t, c, 1, groups)
		readAll(t, c, 1, append(groups, appendGroups(t, c, 30, 4000)...))
	}
}

// TestHoldOfNothing: a log without groups has a copy, too.
func TestHoldOfNothing(t *testing.T) {
	l, _ := newLog(t, 0)
	h := l.Hold()
	defer h.Close()
	if seq, _, _ := h.Cut(); seq != 0 || h.First() != 1 || h.Files() != 0 {
		t.Fatalf("group %d, first %d, %d files", seq, h.First(), h.Files())
	}
	c := openLog(t, testOptions(copyHeld(t, h)))
	readAll(t, c, 1, appendGroups(t, c, 3))
}

// TestHoldLeavesOldBytes: what an earlier use of a file has left behind its end is not copied.
func TestHoldLeavesOldBytes(t *testing.T) {
	l := secretLog(t)
	secrets, _, _ := l.Last()
	for range 200 {
		if l.First() > secrets {
			break
		}
		last := appendGroups(t, l, 1, 2000)[0].Seq
		if err := l.Release(1, last); err != nil {
			t.Fatal(err)
		}
	}
	if len(holding(t, l.opts.Path)) == 0 {
		t.Fatal("no file has what was in it before")
	}
	h := l.Hold()
	defer h.Close()
	h.Cut()
	if left := holding(t, copyHeld(t, h)); len(left) > 0 {
		t.Errorf("what is erased is in %q", left)
	}
}

// TestHoldNamesDamage flips a byte of a segment: it is not copied, and named.
func TestHoldNamesDamage(t *testing.T) {
	l, _ := newLog(t, 60, 4000)
	path := l.segments[1].path
	flip(t, path, pageBytes+200)
	h := l.Hold()
	defer h.Close()
	h.Cut()
	err := h.Copy(t.Context(), 1, func(string, io.Reader, int64) error { t.Error("it is copied"); return nil })
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("the damage is answered %v", err)
	}
}
