package disk

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestReadDir: who looks at a directory keeps daemons out while he does, and learns of one that is there.
func TestReadDir(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if _, err := ReadDir(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a directory that is not there: %v", err)
	}
	open := func() (*Dir, error) {
		return OpenDir(DirOptions{Path: path, Region: "eu", Now: func() time.Time { return time.Unix(1, 0) }})
	}
	daemon, err := open()
	if err != nil {
		t.Fatal(err)
	}
	beside, err := ReadDir(path)
	if err != nil || !beside.InUse() {
		t.Fatalf("a daemon has it: %v", err)
	}
	if err := beside.Close(); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Close(); err != nil {
		t.Fatal(err)
	}
	var looking [2]*Dir
	for i := range looking {
		if looking[i], err = ReadDir(path); err != nil {
			t.Fatal(err)
		}
	}
	if looking[0].InUse() || looking[0].Region() != "eu" || looking[0].HashSeed() != daemon.HashSeed() {
		t.Fatalf("another identity: %q", looking[0].Region())
	}
	if r, err := looking[0].ReadCheckpoint(); r != nil || err != nil {
		t.Fatalf("a checkpoint of a directory that has none: %v, %v", r, err)
	}
	if _, err := open(); err == nil {
		t.Fatal("a daemon started while somebody looks")
	}
	for _, d := range looking {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(path, "VERSION")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadDir(path); err == nil {
		t.Fatal("a directory without VERSION was opened")
	}
}
