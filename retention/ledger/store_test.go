package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func openStore(t testing.TB, path string) *Store {
	t.Helper()
	return openWith(t, Options{Path: path})
}

func openWith(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = end(s) })
	return s
}

// end closes the store, and Badger also after a failure: it would write to the directory while it is removed.
func end(s *Store) error {
	err := s.Close()
	_ = closeBadger(s.db)
	return err
}

// at is the position of a group in the only history that there is.
func at(seq uint64) Position { return Position{Seq: seq, Chain: [16]byte{byte(seq), 0xc4}} }

func write(t testing.TB, s *Store, seq uint64, entries ...Entry) {
	t.Helper()
	if err := s.Write(entries, at(seq)); err != nil {
		t.Fatal(err)
	}
}

func row(key, value string) Entry { return Entry{Key: []byte(key), Value: []byte(value)} }

// rows scans and returns keys=values.
func rows(t testing.TB, s *Store, prefix, start string, reverse bool, limit int) string {
	t.Helper()
	var out []string
	var from []byte
	if start != "" {
		from = []byte(start)
	}
	err := s.Scan([]byte(prefix), from, reverse, func(k, v []byte) (bool, error) {
		out = append(out, fmt.Sprintf("%s=%.9s", k, v))
		return len(out) != limit, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestScansBothWays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	s := openStore(t, path)
	var entries []Entry
	for _, k := range []string{"a/1", "a/2", "a/3", "a\xff", "b", "b/1", "c/9", "\xff", "\xff\xff\x01"} {
		entries = append(entries, row(k, "v"+k))
	}
	entries = append(entries, Entry{Key: []byte("big"), Value: bytes.Repeat([]byte("w"), 5000)})
	write(t, s, 1, entries...)
	for range 2 {
		for _, c := range []struct {
			prefix, start string
			reverse       bool
			limit         int
			want          string
		}{
			{"a/", "", false, 0, "a/1=va/1 a/2=va/2 a/3=va/3"},
			{"a/", "", true, 0, "a/3=va/3 a/2=va/2 a/1=va/1"},
			{"a/", "a/2", false, 0, "a/2=va/2 a/3=va/3"},
			{"a/", "a/2", true, 0, "a/2=va/2 a/1=va/1"},
			{"a/", "a/25", true, 1, "a/2=va/2"},
			{"a/", "a/25", false, 0, "a/3=va/3"},
			{"a/", "a", false, 1, "a/1=va/1"},
			{"a/", "a", true, 0, ""},
			{"a/", "z", true, 1, "a/3=va/3"},
			{"a/", "z", false, 0, ""},
			{"b", "", false, 0, "b=vb b/1=vb/1 big=wwwwwwwww"},
			{"b", "", true, 0, "big=wwwwwwwww b/1=vb/1 b=vb"},
			{"", "", false, 2, "a/1=va/1 a/2=va/2"},
			{"", "", true, 2, "\xff\xff\x01=v\xff\xff\x01 \xff=v\xff"},
			{"", "a/1", true, 0, "a/1=va/1"},
			{"\xff", "", true, 0, "\xff\xff\x01=v\xff\xff\x01 \xff=v\xff"},
			{"nobody", "", true, 0, ""},
		} {
			if got := rows(t, s, c.prefix, c.start, c.reverse, c.limit); got != c.want {
				t.Errorf("scan %q from %q, reverse %v: %q, want %q", c.prefix, c.start, c.reverse, got, c.want)
			}
		}
		if v, found, err := s.Get([]byte("a/2")); err != nil || !found || string(v) != "va/2" {
			t.Fatalf("%q, %v, %v", v, found, err)
		}
		if _, found, err := s.Get([]byte("a/7")); err != nil || found {
			t.Fatalf("%v, %v", found, err)
		}
		if err := s.Close(); err != nil { // The second time it comes from disk.
			t.Fatal(err)
		}
		s = openStore(t, path)
	}
	write(t, s, 2, row("a/2", "new"))
	if got := rows(t, s, "a/2", "", true, 0); got != "a/2=new" {
		t.Fatal(got)
	}
}

// TestScanIsAnOrderedMap compares scans with a sorted slice.
func TestScanIsAnOrderedMap(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	model := map[string]string{}
	seq := uint64(0)
	key := func(shortest, longest int) *rapid.Generator[string] {
		return rapid.Map(
			rapid.SliceOfN(rapid.SampledFrom([]byte{1, 'a', 'b', 0xff}), shortest, longest),
			func(b []byte) string { return string(b) },
		)
	}
	rapid.Check(t, func(rt *rapid.T) {
		k, v := key(1, 4).Draw(rt, "key"), rapid.StringN(0, 4, 8).Draw(rt, "value")
		seq++
		if rapid.IntRange(0, 3).Draw(rt, "deleted") == 0 {
			write(t, s, seq, Entry{Key: []byte(k), Delete: true})
			delete(model, k)
		} else {
			write(t, s, seq, row(k, v))
			model[k] = v
		}
		prefix := key(0, 2).Draw(rt, "prefix")
		start, reverse := key(0, 4).Draw(rt, "start"), rapid.Bool().Draw(rt, "reverse")
		var want []string
		for k := range model {
			if strings.HasPrefix(k, prefix) && (start == "" || !reverse && k >= start || reverse && k <= start) {
				want = append(want, k)
			}
		}
		slices.Sort(want)
		if reverse {
			slices.Reverse(want)
		}
		var got []string
		var from []byte
		if start != "" {
			from = []byte(start)
		}
		err := s.Scan([]byte(prefix), from, reverse, func(k, v []byte) (bool, error) {
			if model[string(k)] != string(v) {
				rt.Errorf("%q is %q, want %q", k, v, model[string(k)])
			}
			got = append(got, string(k))
			return true, nil
		})
		if err != nil || !slices.Equal(got, want) {
			rt.Fatalf("scan %q from %q, reverse %v: %q, want %q, %v", prefix, start, reverse, got, want, err)
		}
	})
}

// TestScanReturnsWhatItsFunctionReturns, and a panic of the function's own is not taken for one of Badger's.
func TestScanReturnsWhatItsFunctionReturns(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	write(t, s, 1, row("a", "1"))
	boom := errors.New("boom")
	if err := s.Scan(nil, nil, false, func(_, _ []byte) (bool, error) { return true, boom }); err != boom {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != boom {
				t.Fatalf("recovered %v", r)
			}
		}()
		_ = s.Scan(nil, nil, false, func(_, _ []byte) (bool, error) { panic(boom) })
	}()
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestPositionMovesWithItsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	s := openStore(t, path)
	if s.Position() != (Position{}) {
		t.Fatalf("a new store is at %v", s.Position())
	}
	write(t, s, 7, row("a", "1"))
	write(t, s, 8) // A group without rows.
	if err := s.WritePart([]Entry{row("b", "part")}); err != nil {
		t.Fatal(err)
	}
	if err := s.WritePart(nil); err != nil {
		t.Fatal(err)
	}
	if s.Position() != at(8) {
		t.Fatalf("position %v", s.Position())
	}
	// What a kill leaves, then what closing leaves.
	for range 2 {
		killed := openStore(t, clone(t, path))
		if killed.Position() != at(8) || rows(t, killed, "", "", false, 0) != "a=1 b=part" {
			t.Fatalf("position %v, rows %s", killed.Position(), rows(t, killed, "", "", false, 0))
		}
		write(t, killed, 9, row("b", "whole"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, path)
	for name, to := range map[string]Position{
		"back":            at(7),
		"another history": {Seq: 8, Chain: [16]byte{1}},
		"nowhere":         {},
	} {
		if err := s.Write([]Entry{row("a", "wrong")}, to); err == nil {
			t.Errorf("%s: it was written", name)
		}
	}
	write(t, s, 8, row("b", "again"))
	write(t, s, 1<<63+5, row("c", "3"))
	if s.Position() != at(1<<63+5) || rows(t, s, "", "", false, 0) != "a=1 b=again c=3" {
		t.Fatalf("position %v, rows %s", s.Position(), rows(t, s, "", "", false, 0))
	}
}

func TestLargeTransactions(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	many := make([]Entry, TransactionEntriesMax)
	for i := range many {
		many[i] = Entry{
			Key:   fmt.Appendf(nil, "row/%08d", i),
			Value: bytes.Repeat([]byte{'x'}, TransactionBytesMax/len(many)-32-12),
		}
	}
	write(t, s, 1, many...)
	write(t, s, 2, Entry{Key: []byte("large"), Value: make([]byte, TransactionBytesMax)})
	write(t, s, 3, Entry{Key: []byte("largest"), Value: make([]byte, ValueBytesMax)})
	more := make([]Entry, 3*len(many))
	for i := range more {
		more[i] = Entry{Key: fmt.Appendf(nil, "more/%08d", i), Value: many[0].Value}
	}
	half := make([]byte, ValueBytesMax/2+1)
	for name, entries := range map[string][]Entry{
		"entries": more,
		"values":  {{Key: []byte("more/1"), Value: half}, {Key: []byte("more/2"), Value: half}},
	} {
		if err := s.Write(entries, at(4)); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := s.WritePart(entries); !errors.Is(err, ErrTooLarge) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if got := rows(t, s, "more/", "", false, 1); got != "" || s.Position() != at(3) || s.Err() != nil {
		t.Fatalf("written although it was refused: %q, position %v, %v", got, s.Position(), s.Err())
	}
	for parts := more; len(parts) > 0; parts = parts[len(many):] {
		if err := s.WritePart(parts[:len(many)]); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	err := s.Scan([]byte("more/"), nil, false, func(k, v []byte) (bool, error) {
		if string(k) != string(more[n].Key) || !bytes.Equal(v, more[n].Value) {
			return false, fmt.Errorf("row %d is %q", n, k)
		}
		n++
		return true, nil
	})
	if err != nil || n != len(more) {
		t.Fatalf("%d rows, %v", n, err)
	}
}

func TestReservedKeys(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	for _, k := range []string{"", positionKey, "\x00", "!badger!x", strings.Repeat("k", KeyBytesMax+1)} {
		if err := s.Write([]Entry{row("fine", ""), row(k, "")}, at(1)); err == nil {
			t.Errorf("key %.20q was written", k)
		}
		if _, _, err := s.Get([]byte(k)); err == nil {
			t.Errorf("key %.20q was read", k)
		}
	}
	if _, found, err := s.Get([]byte("fine")); err != nil || found {
		t.Fatalf("half of a refused write is there: %v", err)
	}
	if err := s.Write([]Entry{{Key: []byte("fine"), Value: make([]byte, ValueBytesMax+1)}}, at(1)); err == nil {
		t.Error("a value too large was written")
	}
	write(t, s, 1, row("fine", ""), row(strings.Repeat("k", KeyBytesMax), "")) // A refusal is no failure.
	if got := rows(t, s, "", "", true, 0); strings.Contains(got, "position") {
		t.Fatalf("the position came as a row: %q", got)
	}
}

// TestCloseWaits: scans and writes that go on end before the files are closed, and later ones are refused.
func TestCloseWaits(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "ledger"))
	write(t, s, 1, row("a", "1"), row("b", "2"))
	scanning, closing := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		n := 0
		err := s.Scan(nil, nil, false, func(_, _ []byte) (bool, error) {
			if n++; n == 1 {
				close(scanning)
				<-closing
			}
			return true, nil
		})
		if err != nil || n != 2 {
			t.Errorf("%d rows, %v", n, err)
		}
	})
	<-scanning
	wg.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for s.Err() == nil { // Until Close has begun.
	}
	close(closing)
	wg.Wait()
	if err := s.Write(nil, at(2)); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	if _, _, err := s.Get([]byte("a")); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	if err := s.Maintain(t.Context(), 1); !errors.Is(err, errClosed) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(Options{}); err == nil {
		t.Fatal("opened without a path")
	}
	path := filepath.Join(t.TempDir(), "ledger")
	openStore(t, path)
	_, err := Open(Options{Path: path})
	if err == nil || !strings.Contains(err.Error(), path) || errors.Is(err, os.ErrNotExist) {
		t.Fatalf("opened twice: %v", err)
	}
	refusedAsMachines(t, err)
	if _, err := Open(Options{Path: filepath.Join(path, "no", "parent")}); err == nil {
		t.Fatal("opened without a parent")
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			s := openStore(b, filepath.Join(b.TempDir(), "ledger"))
			entries := make([]Entry, n)
			b.ReportAllocs()
			for i := range b.N {
				for j := range entries {
					entries[j] = Entry{Key: fmt.Appendf(nil, "row/%08d/%04d", i, j), Value: make([]byte, 60)}
				}
				if err := s.Write(entries, at(uint64(i+1))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
