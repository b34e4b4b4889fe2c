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
	checkpoints, err := OpenCheckpoints(daemon.CheckpointPath())
	if err != nil {
		t.Fatal(err)
	}
	installCheckpoint(t, checkpoints, 7)
	beside, err := ReadDir(path)
	if err != nil || !beside.InUse() {
		t.Fatalf("a daemon has it: %v", err)
	}
	scratch := t.TempDir()
	r, err := beside.ReadCheckpoint(scratch)
	if err != nil {
		t.Fatal(err)
	}
	installCheckpoint(t, checkpoints, 9) // The daemon removes the older one.
	sections := 0
	err = r.Sections(func(uint16, []byte) error { sections++; return nil })
	if left, lerr := os.ReadDir(scratch); err != nil || r.B() != 7 || sections != 1 || lerr != nil || len(left) > 0 {
		t.Fatalf("%d sections of checkpoint %d, %v; left are %v, %v", sections, r.B(), err, left, lerr)
	}
	if err := errors.Join(r.Close(), beside.Close()); err != nil {
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
	if r, err := looking[0].ReadCheckpoint(""); err != nil || r.B() != 9 || r.Close() != nil {
		t.Fatalf("%v", err)
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

func installCheckpoint(t *testing.T, c *Checkpoints, b uint64) {
	t.Helper()
	w, err := c.Create(b)
	if err == nil {
		err = errors.Join(w.Section(1, []byte("data")), w.Commit(b))
	}
	if err != nil {
		t.Fatal(err)
	}
}
