package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func TestRowsAreGoneWhenTheirTimeIsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, path)
		defer s.Close()
		write(t, s, 1,
			Entry{Key: []byte("a"), Value: []byte("short"), Keep: 2 * time.Second},
			Entry{Key: []byte("b"), Value: make([]byte, 5000), Keep: 4 * time.Second},
			row("c", "ever"),
			Entry{Key: []byte("d"), Value: []byte("renewed"), Keep: 2 * time.Second})
		time.Sleep(time.Second)
		write(t, s, 2, Entry{Key: []byte("d"), Value: []byte("renewed"), Keep: time.Hour})
		time.Sleep(2 * time.Second)
		if _, found, err := s.Get([]byte("a")); found || err != nil {
			t.Fatalf("found %v, %v", found, err)
		}
		if _, found, err := s.Get([]byte("b")); !found || err != nil {
			t.Fatalf("found %v, %v", found, err)
		}
		time.Sleep(2 * time.Second)
		if got := rows(t, s, "", "", false, 0); got != "c=ever d=renewed" {
			t.Fatal(got)
		}
		for range 2 {
			if err := s.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := rows(t, s, "", "", false, 0); got != "c=ever d=renewed" {
			t.Fatal(got)
		}
		// A row that comes back is one like any other, also for what had found its old time to be over.
		write(t, s, 3, row("a", "again"))
		if err := s.deleteExpired([][]byte{[]byte("a")}, nil); err != nil {
			t.Fatal(err)
		}
		if got := rows(t, s, "a", "", false, 0); got != "a=again" || s.Position() != at(3) {
			t.Fatalf("%s at %v", got, s.Position())
		}
	})
}

// TestMaintainGivesSpaceBack fills the store with rows that expire, in the tables and in the value log. Nobody writes
// their keys again, so that Badger itself would keep them.
func TestMaintainGivesSpaceBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	const groups, kept = 400, "kept"
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, small(path))
		defer s.Close()
		write(t, s, 1, row(kept, kept))
		for i := range groups {
			write(t, s, uint64(i+2),
				Entry{Key: fmt.Appendf(nil, "old/%04d/large", i), Value: make([]byte, 100_000), Keep: 10 * time.Second},
				Entry{Key: fmt.Appendf(nil, "old/%04d/small", i), Value: make([]byte, 1000), Keep: 10 * time.Second})
		}
		full := diskBytes(t, path)
		if full < groups*101_000 {
			t.Fatalf("%d bytes on disk", full)
		}
		time.Sleep(11 * time.Second)
		// What is written later makes Badger compact, and is a fifth as large.
		for i := range groups {
			var later []Entry
			for j := range 20 {
				later = append(later, Entry{Key: fmt.Appendf(nil, "new/%04d/%02d", i, j), Value: make([]byte, 1000)})
			}
			write(t, s, uint64(i+groups+2), later...)
			if i%8 == 0 {
				time.Sleep(time.Second)
				if err := s.Maintain(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 * groups / 10 { // A value log file has the rows of ten groups.
			if err := s.Maintain(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if left := diskBytes(t, path); left > full/2 {
			t.Fatalf("%d bytes on disk, %d before", left, full)
		}
		if got := rows(t, s, kept, "", false, 0); got != "kept=kept" {
			t.Fatal(got)
		}
	})
	if s := openWith(t, small(path)); rows(t, s, "old", "", false, 0) != "" || rows(t, s, "kept", "", false, 0) == "" {
		t.Fatal("after opening again the rows are others")
	}
}

func TestMaintainEndsWithItsContext(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	write(t, s, 1, row("a", "1"), row("b", "1"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Maintain(ctx); err != nil || s.Err() != nil {
		t.Fatalf("%v, %v", err, s.Err())
	}
}

// diskBytes returns what the directory takes on disk.
func diskBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(dir, e.Name()), &st); err == nil { // Badger may have removed it.
			n += st.Blocks * 512
		}
	}
	return n
}
