package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestDirect: a file has the pages in their order, up to where it is cut off, and is never made over another one.
func TestDirect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f, err := CreateDirect(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pages, err := NewPages(3 * PageBytes)
	if err != nil {
		t.Fatal(err)
	}
	defer FreePages(pages)
	for i := range pages {
		pages[i] = byte(i % 251)
	}
	err = errors.Join(f.WritePages(pages), f.WritePages(pages[:PageBytes]), f.Truncate(3*PageBytes+100), f.Sync())
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if want := append(bytes.Clone(pages), pages[:100]...); err != nil || !bytes.Equal(got, want) {
		t.Errorf("there are %d bytes, which are not those that were written; %v", len(got), err)
	}
	if _, err := CreateDirect(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file is made over another one: %v", err)
	}
}
