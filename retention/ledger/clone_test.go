package ledger

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// clone copies a store's directory as it is, holes included. Of one that is open it is what a kill -9 at this instant
// would leave: the page cache has it all. Nobody may be writing.
func clone(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), filepath.Base(from))
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := cloneFile(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// cloneFile copies a file. One that is emptied meanwhile is being removed, and is cloned as a kill would leave it.
func cloneFile(from, to string) error {
	was, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := cloneData(from, to, was.Size()); err != nil {
		return err
	}
	if is, err := os.Stat(from); err != nil || is.Size() == 0 {
		return os.Truncate(to, 0)
	}
	return nil
}

// cloneData copies size bytes and keeps the holes.
func cloneData(from, to string, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	if err := out.Truncate(size); err != nil {
		return err
	}
	for at := int64(0); at < size; {
		data, err := unix.Seek(int(in.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return nil
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(in.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, data), io.NewSectionReader(in, data, hole-data)); err != nil {
			return err
		}
		at = hole
	}
	return nil
}

// flip changes one bit of a file.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}

// named returns the paths of the files with an extension, by their numbers.
func named(t testing.TB, dir, ext string) (paths []string) {
	t.Helper()
	list, err := listFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list.numbered(ext) {
		paths = append(paths, filepath.Join(dir, f.name))
	}
	return paths
}
