package archive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// TestProve flips bits everywhere in the tables of a directory: each one is found, told, and the directory named.
// Another directory is proved nevertheless. What is whole is told to nobody.
func TestProve(t *testing.T) {
	h := newHistory(5, 40)
	var told []error
	s := testStore(t, Options{newestFrom: 1, Damaged: func(err error) { told = append(told, err) }})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for range 2 {
		g := h.next(3000, time.Minute)
		g.feed(t, s)
		if err := s.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	read := int64(0)
	whole := func() error { read = 0; return s.Prove(func(n int64) error { read += n; return nil }) }
	if err := whole(); err != nil || len(told) != 0 {
		t.Fatal(err, told)
	}
	all := read
	enough := errors.New("enough")
	if err := s.Prove(func(int64) error { return enough }); !errors.Is(err, enough) || len(told) != 0 {
		t.Errorf("it goes on: %v, %v", err, told)
	}
	dir := filepath.Join(s.o.Path, s.m.directories[0].name())
	tables, err := filepath.Glob(filepath.Join(dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, name := range tables {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(raw); at += 1 + len(raw)/50 {
			told = nil
			raw[at] ^= 4
			if err := os.WriteFile(name, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			err := whole()
			if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), dir) || len(told) == 0 {
				t.Fatalf("byte %d of %d of %s: %v, told %v", at, len(raw), name, err, told)
			}
			if read < all/4 {
				t.Fatalf("byte %d of %s: only %d bytes of %d were read", at, name, read, all)
			}
			raw[at] ^= 4
		}
		if err := os.WriteFile(name, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	hold, err := s.Hold()
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	for i := range hold.Directories() {
		if err := hold.Prove(i, func(int64) error { return nil }); err != nil {
			t.Error(err)
		}
	}
	if err := os.Rename(tables[0], tables[0]+".gone"); err != nil {
		t.Fatal(err)
	}
	if err := whole(); !errors.Is(err, disk.ErrDamaged) {
		t.Errorf("a table is gone: %v", err)
	}
	told = nil
	if err := hold.Prove(0, func(int64) error { return nil }); !errors.Is(err, disk.ErrDamaged) || len(told) == 0 {
		t.Errorf("a table is gone from what is held: %v, told %v", err, told)
	}
	if err := os.Rename(tables[0]+".gone", tables[0]); err != nil {
		t.Fatal(err)
	}
	if told = nil; whole() != nil || len(told) != 0 || read != all {
		t.Errorf("it is whole again: %v, %d bytes of %d", told, read, all)
	}
}

// What a query stumbles over is told, too.
func TestQueryTellsDamage(t *testing.T) {
	h := newHistory(6, 10)
	var told []error
	s := testStore(t, Options{Damaged: func(err error) { told = append(told, err) }})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	g := h.next(500, time.Minute)
	g.feed(t, s)
	if err := s.WriteRun(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(filepath.Join(s.o.Path, "run-*", "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, name := range tables {
		if err := os.Truncate(name, 20); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.entries(s.m.directories[0].number, spaceRows, entryKey{}, 1<<20); !errors.Is(err, disk.ErrDamaged) {
		t.Fatal(err)
	}
	if len(told) != 1 || !errors.Is(told[0], disk.ErrDamaged) {
		t.Errorf("told %v", told)
	}
}
