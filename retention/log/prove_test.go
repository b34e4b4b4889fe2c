package log

import (
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// TestProve flips one bit after another of all segments: each of them that belongs to a group or to the header is
// found, and the file is named. What is whole is read once, and at the pace that rest says.
func TestProve(t *testing.T) {
	l, _ := newLog(t, 60, 4000)
	l.mu.Lock()
	all := slices.Clone(l.segments)
	l.mu.Unlock()
	if len(all) < 3 || all[len(all)-1].isEmpty() {
		t.Fatalf("%d segments, the last one is empty or there are too few", len(all))
	}
	read := int64(0)
	if err := l.Prove(func(n int64) error { read += n; return nil }); err != nil {
		t.Fatal(err)
	}
	if last, _, _ := l.Last(); read < 4000*int64(last) {
		t.Errorf("%d bytes were read of groups 1 to %d", read, last)
	}
	enough := errors.New("enough")
	if err := l.Prove(func(int64) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("it goes on: %v", err)
	}
	for _, s := range all {
		for _, at := range []int64{8, headerCopyAt + 8, pageBytes, pageBytes + 9, pageBytes + 2000, (pageBytes + s.end) / 2} {
			flipAt(t, s.path, at)
			err := l.Prove(func(int64) error { return nil })
			isCopy := at < pageBytes // One of two copies of the header: the other one counts.
			if isCopy != (err == nil) || err != nil && !errors.Is(err, disk.ErrDamaged) {
				t.Errorf("byte %d of %s: %v", at, s.path, err)
			}
			flipAt(t, s.path, at)
		}
	}
	if err := os.Rename(all[0].path, all[0].path+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := l.Prove(func(int64) error { return nil }); !errors.Is(err, disk.ErrDamaged) {
		t.Errorf("a segment is gone: %v", err)
	}
}

// flipAt flips a bit of a file.
func flipAt(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], at)
	if err == nil {
		b[0] ^= 4
		_, err = f.WriteAt(b[:], at)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
