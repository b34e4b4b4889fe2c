package powercut

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// TestDirectoriesMove draws moves, removals and syncs of nested directories: every sync must find the lower directory
// in a state in which the closure it chose can be applied, keep what it promised, and the end must be what was seen.
func TestDirectoriesMove(t *testing.T) {
	scratch := t.TempDir()
	rapid.Check(t, func(rt *rapid.T) {
		lower, err := os.MkdirTemp(scratch, "")
		must(err)
		defer os.RemoveAll(lower)
		d, err := openDisk(lower, Options{Seed: rapid.SampledFrom([]uint64{0, 1, 2}).Draw(rt, "seed")})
		must(err)
		defer d.close()
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			moveStep(rt, d)
		}
		must(d.keepAll())
		if err := sameNames(d.root); err != nil {
			rt.Fatal(err)
		}
	})
}

func moveStep(t *rapid.T, d *disk) {
	var dirs []*inode
	for id := uint64(rootID); id <= d.lastID; id++ {
		if i := d.inodes[id]; i != nil && i.isDir() && !i.removed() {
			dirs = append(dirs, i)
		}
	}
	dir := rapid.SampledFrom(dirs).Draw(t, "dir")
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	var err error
	switch rapid.SampledFrom([]string{"mkdir", "mkdir", "file", "remove", "move", "move", "move", "sync"}).
		Draw(t, "action") {
	case "mkdir":
		_, err = d.create(dir, name, syscall.S_IFDIR|0o755, 0, 0)
	case "file":
		_, err = d.create(dir, name, syscall.S_IFREG|0o644, 0, 0)
	case "remove":
		i := dir.children[name]
		err = d.remove(dir, name, i != nil && i.isDir())
	case "move":
		err = d.rename(
			place{dir, name},
			place{rapid.SampledFrom(dirs).Draw(t, "to"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "to name")},
			0,
		)
	case "sync":
		must(d.syncDir(dir))
		if err := sameNamesHere(dir); err != nil {
			t.Fatal(err)
		}
	}
	switch err {
	case nil, syscall.EEXIST, syscall.ENOENT, syscall.ENOTEMPTY, syscall.EINVAL, syscall.ENOTDIR, syscall.EISDIR:
	default:
		t.Fatalf("request: %v", err)
	}
	must(d.gust())
}

func sameNamesHere(dir *inode) error {
	names, err := readNames(dir.dirFD)
	if err != nil {
		return err
	}
	for _, name := range names {
		if i := dir.children[name]; i == nil || i.kept != (place{dir, name}) {
			return fmt.Errorf("the lower directory has %q, which was removed", name)
		}
	}
	if len(names) != len(dir.children) {
		return fmt.Errorf("the lower directory has %q, want %d names", names, len(dir.children))
	}
	return nil
}

func sameNames(dir *inode) error {
	if err := sameNamesHere(dir); err != nil {
		return err
	}
	for name, i := range dir.children {
		if i.isDir() {
			if err := sameNames(i); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
