package retention

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func openTestLedger(t testing.TB, path string) *Ledger {
	t.Helper()
	l, err := OpenLedger(LedgerOptions{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// rows scans and returns keys=values.
func rows(t testing.TB, l *Ledger, prefix, start string, reverse bool, limit int) string {
	t.Helper()
	var out []string
	var at []byte
	if start != "" {
		at = []byte(start)
	}
	err := l.Scan([]byte(prefix), at, reverse, func(k, v []byte) (bool, error) {
		out = append(out, fmt.Sprintf("%s=%.9s", k, v))
		return len(out) != limit, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestLedgerScansBothWays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := openTestLedger(t, path)
	var entries []Entry
	for _, k := range []string{"a/1", "a/2", "a/3", "a\xff", "b", "b/1", "c/9", "\xff", "\xff\xff\x01"} {
		entries = append(entries, Entry{Key: []byte(k), Value: []byte("v" + k)})
	}
	entries = append(entries, Entry{Key: []byte("big"), Value: bytes.Repeat([]byte("w"), 5000)})
	if err := l.Write(entries); err != nil {
		t.Fatal(err)
	}
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
			if got := rows(t, l, c.prefix, c.start, c.reverse, c.limit); got != c.want {
				t.Errorf("scan %q from %q, reverse %v: %q, want %q", c.prefix, c.start, c.reverse, got, c.want)
			}
		}
		if v, found, err := l.Get([]byte("a/2")); err != nil || !found || string(v) != "va/2" {
			t.Fatalf("%q, %v, %v", v, found, err)
		}
		if _, found, err := l.Get([]byte("a/7")); err != nil || found {
			t.Fatalf("%v, %v", found, err)
		}
		if err := l.Close(); err != nil { // The second time it comes from disk.
			t.Fatal(err)
		}
		l = openTestLedger(t, path)
	}
	if err := l.Write([]Entry{{Key: []byte("a/2"), Value: []byte("new")}}); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, l, "a/2", "", true, 0); got != "a/2=new" {
		t.Fatal(got)
	}
}

// TestLedgerScanIsAnOrderedMap compares scans with a sorted slice.
func TestLedgerScanIsAnOrderedMap(t *testing.T) {
	l := openTestLedger(t, filepath.Join(t.TempDir(), "ledger"))
	model := map[string]string{}
	key := func(min, max int) *rapid.Generator[string] {
		return rapid.Map(
			rapid.SliceOfN(rapid.SampledFrom([]byte{1, 'a', 'b', 0xff}), min, max),
			func(b []byte) string { return string(b) },
		)
	}
	rapid.Check(t, func(rt *rapid.T) {
		k, v := key(1, 4).Draw(rt, "key"), rapid.StringN(0, 4, 8).Draw(rt, "value")
		if err := l.Write([]Entry{{Key: []byte(k), Value: []byte(v)}}); err != nil {
			rt.Fatal(err)
		}
		model[k] = v
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
		var at []byte
		if start != "" {
			at = []byte(start)
		}
		err := l.Scan([]byte(prefix), at, reverse, func(k, v []byte) (bool, error) {
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

func TestLedgerTakesLargeTransactions(t *testing.T) {
	l := openTestLedger(t, filepath.Join(t.TempDir(), "ledger"))
	many := make([]Entry, LedgerTransactionEntriesMax)
	for i := range many {
		many[i] = Entry{
			Key:   fmt.Appendf(nil, "row/%08d", i),
			Value: bytes.Repeat([]byte{'x'}, LedgerTransactionBytesMax/len(many)-32-12),
		}
	}
	if err := l.Write(many); err != nil {
		t.Fatal(err)
	}
	if err := l.Write([]Entry{{Key: []byte("large"), Value: make([]byte, LedgerTransactionBytesMax)}}); err != nil {
		t.Fatal(err)
	}
	more := make([]Entry, 3*len(many))
	for i := range more {
		more[i] = Entry{Key: fmt.Appendf(nil, "more/%08d", i), Value: many[0].Value}
	}
	if err := l.Write(more); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("%d entries: %v", len(more), err)
	}
	if got := rows(t, l, "more/", "", false, 1); got != "" {
		t.Fatalf("written although it was refused: %q", got)
	}
	if err := l.WriteSplit(more); err != nil {
		t.Fatal(err)
	}
	n := 0
	err := l.Scan([]byte("more/"), nil, false, func(k, v []byte) (bool, error) {
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

func TestLedgerRefusesKeys(t *testing.T) {
	l := openTestLedger(t, filepath.Join(t.TempDir(), "ledger"))
	for _, k := range []string{"", "\x00count", "!badger!x", strings.Repeat("k", LedgerKeyBytesMax+1)} {
		if err := l.Write([]Entry{{Key: []byte("fine"), Value: nil}, {Key: []byte(k), Value: nil}}); err == nil {
			t.Errorf("key %.20q was written", k)
		}
	}
	if _, found, err := l.Get([]byte("fine")); err != nil || found {
		t.Fatalf("half of a refused write is there: %v", err)
	}
	if err := l.Write([]Entry{{Key: []byte("fine"), Value: make([]byte, LedgerValueBytesMax+1)}}); err == nil {
		t.Error("a value too large was written")
	}
	if err := l.Write([]Entry{{Key: []byte("fine"), Value: nil}}); err != nil {
		t.Fatalf("a refusal is no failure: %v", err)
	}
}

// twoLedgers makes a ledger of 20 small and 20 large rows, as a crash and as Close leave it.
func twoLedgers(t *testing.T) (crashed, closed string) {
	t.Helper()
	closed = filepath.Join(t.TempDir(), "ledger")
	l := openTestLedger(t, closed)
	for i := range 20 {
		entries := []Entry{
			{Key: fmt.Appendf(nil, "row/%02d", i), Value: fmt.Appendf(nil, "small value %02d", i)},
			{Key: fmt.Appendf(nil, "large/%02d", i), Value: bytes.Repeat(fmt.Appendf(nil, "large value %02d ", i), 200)},
		}
		if err := l.Write(entries); err != nil {
			t.Fatal(err)
		}
	}
	crashed = clone(t, closed)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return crashed, closed
}

// countRows opens a ledger and reads all of it.
func countRows(path string) (int, error) {
	l, err := OpenLedger(LedgerOptions{Path: path})
	if err != nil {
		return 0, err
	}
	defer l.Close()
	n := 0
	err = l.Scan(nil, nil, false, func(_, v []byte) (bool, error) {
		if len(v) == 0 {
			return false, errors.New("a row came empty")
		}
		n++
		return true, nil
	})
	return n, err
}

func TestLedgerAfterACrash(t *testing.T) {
	crashed, closed := twoLedgers(t)
	for _, path := range []string{crashed, closed} {
		for range 2 {
			if n, err := countRows(path); err != nil || n != 40 {
				t.Fatalf("%q: %d rows, %v", path, n, err)
			}
		}
	}
}

func TestDamagedLedger(t *testing.T) {
	crashed, closed := twoLedgers(t)
	for _, c := range []struct {
		name, from, ext, content string
		intact                   bool // the refusal leaves the rest as it is
	}{
		{"small row after a crash", crashed, ".mem", "small value 10", true},
		{"last small row after a crash", crashed, ".mem", "small value 19", true},
		{"large row after a crash", crashed, ".vlog", "large value 10", true},
		{"large row after a close", closed, ".vlog", "large value 10", true},
		{"small row after a close", closed, ".sst", "small value 10", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := clone(t, c.from)
			file := files(t, path, c.ext)[0]
			at := find(t, file, []byte(c.content))
			flip(t, file, at)
			if _, err := countRows(path); err == nil || !strings.Contains(err.Error(), path) {
				t.Fatalf("nobody noticed, or no path: %v", err)
			}
			if !c.intact {
				return
			}
			flip(t, file, at)
			if n, err := countRows(path); err != nil || n != 40 {
				t.Fatalf("flipped back: %d rows, %v", n, err)
			}
		})
	}
}

func TestLedgerWithoutWhatItNeeds(t *testing.T) {
	crashed, closed := twoLedgers(t)
	for _, c := range []struct {
		name, from, names string
		lose              func(path string)
	}{
		{"memtable gone", crashed, "", func(path string) { os.Remove(files(t, path, ".mem")[0]) }},
		{"mark gone", crashed, "MARK", func(path string) { os.Remove(markPath(path)) }},
		{"mark and manifest gone", crashed, "MARK", func(path string) {
			os.Remove(markPath(path))
			os.Remove(filepath.Join(path, "MANIFEST"))
		}},
		{"mark damaged", crashed, "MARK", func(path string) { flip(t, markPath(path), 1); flip(t, markPath(path), markStride) }},
		{"everything gone but the mark", crashed, "", func(path string) {
			all, _ := filepath.Glob(filepath.Join(path, "*"))
			for _, file := range all {
				if file != markPath(path) {
					os.Remove(file)
				}
			}
		}},
		{"clean damaged", closed, cleanName, func(path string) { flip(t, filepath.Join(path, cleanName), 3) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := clone(t, c.from)
			c.lose(path)
			_, err := countRows(path)
			refused(t, err, filepath.Join(path, c.names))
		})
	}
}
