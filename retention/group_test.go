package retention

import (
	"bytes"
	"os"
	"testing"

	"pgregory.net/rapid"
)

func TestHeaderComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := testGroup(rapid.Uint64().Draw(t, "seq"), rapid.Int64().Draw(t, "first"), rapid.Int64().Draw(t, "last"),
			rapid.SliceOfN(rapid.IntRange(1, 50), 0, 20).Draw(t, "chunks")...)
		g.Head = rapid.SliceOf(rapid.Byte()).Draw(t, "head")
		var was, got header
		was.of(g, chain{1, 2, 3})
		v := was.append([]byte("before"))[len("before"):]
		if err := got.decode(v); err != nil {
			t.Fatal(err)
		}
		var back Group
		got.group(&back)
		back.Head, back.Chunks = got.head, g.Chunks
		if err := sameGroup(&back, g); err != nil || got.before != was.before {
			t.Fatal(err)
		}
		for i, c := range g.Chunks {
			if err := got.check(i, c); err != nil {
				t.Fatal(err)
			}
			bad := bytes.Clone(c)
			bad[len(bad)/2]++
			if got.check(i, bad) == nil || got.check(i, c[1:]) == nil {
				t.Fatal("another chunk passes")
			}
		}
	})
}

func TestHeaderFlippedAnywhere(t *testing.T) {
	var h header
	h.of(testGroup(7, 1, 2, 10, 20), chain{9})
	v := h.append(nil)
	for at := range v {
		for bit := range 8 {
			bad := bytes.Clone(v)
			bad[at] ^= 1 << bit
			if new(header).decode(bad) == nil {
				t.Fatalf("bit %d of byte %d: nobody noticed", bit, at)
			}
		}
	}
	for n := range v {
		if new(header).decode(v[:n]) == nil {
			t.Fatalf("cut to %d bytes: nobody noticed", n)
		}
	}
}

// FuzzGroupHeader reads anything as a header: no panic, and what is read is what append writes.
func FuzzGroupHeader(f *testing.F) {
	var h header
	h.of(testGroup(7, 1, 2, 10, 20), chain{9})
	f.Add(h.append(nil))
	h.of(&Group{Seq: 1}, chain{})
	f.Add(h.append(nil))
	f.Fuzz(func(t *testing.T, v []byte) {
		var h header
		if h.decode(v) == nil && !bytes.Equal(h.append(nil), v) {
			t.Fatal("read, but written otherwise")
		}
	})
}

// FuzzWalk walks anything as a file of Badger's: no panic, no entry beyond the end.
func FuzzWalk(f *testing.F) {
	l, _ := newLog(f, 3, 3600, 10, 2000)
	for _, ext := range []string{".mem", ".vlog"} {
		for _, file := range files(f, spanPath(l.opts.Path, 1), ext) {
			data, err := readStart(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			f.Add(data[:len(data)-7])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		read := fileHeaderBytes
		end := walk(data, func(at int, e *walkEntry) {
			if at != read {
				t.Fatalf("entry at byte %d, want %d", at, read)
			}
			_, size, _ := parseEntry(data[at:])
			read += size
			e.pointer()
			groupOf(e)
			countOf(e)
		})
		if end.offset > len(data) {
			t.Fatalf("it ended at byte %d of %d", end.offset, len(data))
		}
		walkTransactions(data, func([]walkEntry) {})
	})
}

// readStart reads a file that is mostly a hole up to where it begins.
func readStart(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data := make([]byte, 64<<10)
	n, err := f.Read(data)
	return bytes.TrimRight(data[:n], "\x00"), err
}

// FuzzMark reads anything as a mark.
func FuzzMark(f *testing.F) {
	data := make([]byte, markBytes)
	encodeMark(data, 77)
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		seq, err := decodeMark(data)
		if err != nil {
			return
		}
		again := make([]byte, markBytes)
		if encodeMark(again, seq); !bytes.Equal(again, data[:markBytes]) {
			t.Fatal("read, but written otherwise")
		}
	})
}
