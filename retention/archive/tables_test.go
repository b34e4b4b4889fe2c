package archive

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// runOf returns an archive with one run of a few thousand rows, in blocks of a few rows or of many.
func runOf(t testing.TB, blockRows int) *Store {
	t.Helper()
	h := newHistory(5, 40)
	s := testStore(t, Options{blockRows: blockRows, newestFrom: 1})
	g := h.next(3000, time.Hour)
	g.feed(t, s)
	if err := s.WriteRun(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestTables: queries read the same entries as Badger does, whether many of them share a block or each has its own.
func TestTables(t *testing.T) {
	for _, blockRows := range []int{1, 3, blockRowsMax} {
		s := runOf(t, blockRows)
		d := s.m.directories[0]
		have, err := openTables(filepath.Join(s.o.Path, d.name()))
		if err != nil {
			t.Fatal(err)
		}
		from, entries := dirBlocks{s: s, dir: &d}, map[byte]int{}
		db, _, err := openReadOnly(filepath.Join(s.o.Path, d.name()), s.o.Logger)
		if err != nil {
			t.Fatal(err)
		}
		txn := db.NewTransaction(false)
		it := txn.NewIterator(badger.IteratorOptions{})
		for it.Rewind(); it.Valid(); it.Next() {
			key, space, err := decodeKey(it.Item().Key())
			if err != nil {
				t.Fatal(err)
			}
			want, err := it.Item().ValueCopy(nil)
			if err != nil {
				t.Fatal(err)
			}
			entries[space]++
			b, err := have.read(have.of(space), have.of(space).at(key))
			if err != nil {
				t.Fatal(err)
			}
			if k := b.find(key, true); k < 0 || b.keys[k] != key || !bytes.Equal(b.values[k], want) {
				t.Errorf("entry %c %+v is not what Badger has", space, key)
			}
			for _, before := range []bool{false, true} {
				if space != spaceRows {
					continue
				}
				if at, _, found, err := from.seek(key, before); err != nil || !found || at != key {
					t.Errorf("before %v: %+v is sought and %+v found: %v", before, key, at, err)
				}
			}
		}
		it.Close()
		txn.Discard()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		whole := 0
		for _, space := range []byte(tableSpaces) {
			for _, bytesMax := range []int64{1, 1 << 20} {
				n, key := 0, entryKey{}
				for {
					some, err := have.entries(space, key, bytesMax)
					if err != nil {
						t.Fatal(err)
					}
					if len(some) == 0 {
						break
					}
					n += len(some)
					last := some[len(some)-1].key
					key = entryKey{last.device, last.place.next()}
				}
				if n != entries[space] {
					t.Errorf("space %c, %d bytes at once: %d entries, want %d", space, bytesMax, n, entries[space])
				}
			}
			whole += entries[space]
		}
		if whole != int(d.entries) || len(entries) != len(tableSpaces) {
			t.Errorf("%v entries of %d", entries, d.entries)
		}
		for _, x := range []struct {
			key    entryKey
			before bool
			found  bool
		}{{entryKey{}, true, false}, {entryKey{}, false, true}, {entryKey{device: ^Device(0)}, false, false}} {
			if _, _, found, err := from.seek(x.key, x.before); err != nil || found != x.found {
				t.Errorf("%+v: found %v, %v", x, found, err)
			}
			if err := from.announce(x.key); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestGone: a directory that is removed says so to who has an older Snapshot.
func TestGone(t *testing.T) {
	s := runOf(t, blockRowsMax)
	x, q := s.Snapshot(), query(1)
	if err := s.replace([]uint64{1}, nil, 0, func() {}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Each(t.Context(), &q, func(*Row) bool { return true }); !errors.Is(err, ErrGone) {
		t.Errorf("reading what was removed: %v", err)
	}
}

// TestOpenDirectoriesAreBounded: directories that all were read at once are closed once they are not, but for as many
// as may be open.
func TestOpenDirectoriesAreBounded(t *testing.T) {
	s := runOf(t, blockRowsMax)
	s.mu.Lock()
	for n := range uint64(openMax + 5) {
		s.dirs[100+n] = &openDir{tables: &tables{}, used: n}
		s.opened++
	}
	s.mu.Unlock()
	q := query(1)
	if _, err := s.Snapshot().Each(t.Context(), &q, func(*Row) bool { return true }); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opened != openMax || s.dirs[1].tables == nil || s.dirs[105].tables != nil || s.dirs[106].tables == nil {
		t.Errorf("%d directories are open", s.opened)
	}
}

// tableFiles returns the files of a run of Badger's.
func tableFiles(f *testing.F) (files [][]byte, names []string) {
	s := runOf(f, 3)
	names, err := filepath.Glob(s.o.Path + "/run-1/*.sst")
	if err != nil || len(names) == 0 {
		f.Fatal(names, err)
	}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		files = append(files, raw)
	}
	return files, names
}

// FuzzIndex: whatever an index of Badger's is, finding blocks in it ends with an error or with blocks.
func FuzzIndex(f *testing.F) {
	files, names := tableFiles(f)
	for i, raw := range files {
		t, err := openTable(names[i])
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[t.file.end:])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var x table
		if err := recovered(func() error { return x.decodeIndex(raw) }); err == nil && len(x.blocks) == 0 {
			t.Error("an index without blocks")
		}
	})
}

// FuzzEntries: whatever a block of Badger's is, decoding it ends with an error or with entries that lie inside of it.
func FuzzEntries(f *testing.F) {
	files, names := tableFiles(f)
	for i, raw := range files {
		x, err := openTable(names[i])
		if err != nil {
			f.Fatal(err)
		}
		s := tableSpace{files: []tableFile{x.file}, blocks: x.blocks}
		for k := range min(3, len(s.blocks)) {
			_, from, size := s.place(k)
			f.Add(raw[from : from+size])
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := decodeEntries(raw)
		if err != nil {
			return
		}
		n := 0
		for i := range b.keys {
			n += len(b.values[i])
		}
		if len(b.keys) == 0 || n > len(raw) {
			t.Errorf("%d entries with %d bytes of %d", len(b.keys), n, len(raw))
		}
	})
}
