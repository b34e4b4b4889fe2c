package ledger

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// Rows go when Maintain is told that their time is over, not by the wall clock.
func TestRowsAreGoneWhenTheirTimeIsOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, path)
		defer s.Close()
		const begin = 631_152_000_000 // 1990: by the wall clock, which says 2000 or later, all of it was long ago.
		write(t, s, 1,
			Entry{Key: []byte("a"), Value: []byte("short"), UntilMs: begin + 2000},
			Entry{Key: []byte("b"), Value: make([]byte, 5000), UntilMs: begin + 4000},
			row("c", "ever"),
			Entry{Key: []byte("d"), Value: []byte("renewed"), UntilMs: begin + 2000})
		write(t, s, 2, Entry{Key: []byte("d"), Value: []byte("renewed"), UntilMs: begin + 3_600_000})
		maintain := func(ms int64) {
			t.Helper()
			if err := s.Maintain(t.Context(), ms); err != nil {
				t.Fatal(err)
			}
		}
		long := strings.Repeat("\x00", 9) // As rows cuts it.
		maintain(begin + 1999)
		if got := rows(t, s, "", "", false, 0); got != "a=short b="+long+" c=ever d=renewed" {
			t.Fatalf("%.50q", got)
		}
		maintain(begin + 2000)
		if got := rows(t, s, "", "", false, 0); got != "b="+long+" c=ever d=renewed" {
			t.Fatalf("%.50q", got)
		}
		for range 2 {
			maintain(begin + 5000)
		}
		if got := rows(t, s, "", "", false, 0); got != "c=ever d=renewed" {
			t.Fatal(got)
		}
		// A row that comes back is one like any other, also for what had found its old time to be over.
		write(t, s, 3, row("a", "again"))
		if err := s.deleteExpired([][]byte{[]byte("a"), []byte("b")}, expiresAt(begin+5000), nil); err != nil {
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
	const groups, kept, over = 400, "kept", 1_790_000_000_000
	synctest.Test(t, func(t *testing.T) {
		s := openWith(t, small(path))
		defer s.Close()
		write(t, s, 1, row(kept, kept))
		for i := range groups {
			write(t, s, uint64(i+2),
				Entry{Key: fmt.Appendf(nil, "old/%04d/large", i), Value: make([]byte, 100_000), UntilMs: over},
				Entry{Key: fmt.Appendf(nil, "old/%04d/small", i), Value: make([]byte, 1000), UntilMs: over})
		}
		full := diskBytes(t, path)
		if full < groups*101_000 {
			t.Fatalf("%d bytes on disk", full)
		}
		// What is written later makes Badger compact, and is a fifth as large.
		for i := range groups {
			var later []Entry
			for j := range 20 {
				later = append(later, Entry{Key: fmt.Appendf(nil, "new/%04d/%02d", i, j), Value: make([]byte, 1000)})
			}
			write(t, s, uint64(i+groups+2), later...)
			if i%8 == 0 {
				time.Sleep(time.Second)
				if err := s.Maintain(t.Context(), over); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 2 * groups / 10 { // A value log file has the rows of ten groups.
			if err := s.Maintain(t.Context(), over); err != nil {
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
	if err := s.Maintain(ctx, 1); err != nil || s.Err() != nil {
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
