package ledger

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOpenCopy: a directory that a kill left is read without being changed, and nothing of the copy stays.
func TestOpenCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	s := openStore(t, path)
	write(t, s, 1, row("a", "1"), row("b", "2"))
	killed := clone(t, path)
	before := sizes(t, killed)
	scratch := t.TempDir()
	for range 2 {
		c, err := OpenCopy(Options{Path: killed}, scratch)
		if err != nil {
			t.Fatal(err)
		}
		if got := rows(t, c, "", "", false, 0); got != "a=1 b=2" || c.Position() != at(1) {
			t.Fatalf("rows %s, position %v", got, c.Position())
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	after := sizes(t, killed)
	for name, size := range before {
		if after[name] != size {
			t.Errorf("%s has %d bytes, %d before", name, after[name], size)
		}
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 || len(after) != len(before) {
		t.Fatalf("%v is left, %d files, %d before, %v", left, len(after), len(before), err)
	}
	if err := os.Truncate(filepath.Join(killed, "MANIFEST"), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCopy(Options{Path: killed}, scratch); err == nil {
		t.Fatal("a damaged directory was opened")
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) > 0 {
		t.Fatalf("%v is left, %v", left, err)
	}
}

func sizes(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		sizes[e.Name()] = info.Size()
	}
	return sizes
}
