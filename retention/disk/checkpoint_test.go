package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type section struct {
	kind uint16
	data []byte
}

func openCheckpoints(t testing.TB) *Checkpoints {
	t.Helper()
	c, err := OpenCheckpoints(filepath.Join(t.TempDir(), "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeCheckpoint(t testing.TB, c *Checkpoints, b, e uint64, sections ...section) {
	t.Helper()
	w, err := c.Create(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections {
		if err := w.Section(s.kind, s.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(e); err != nil {
		t.Fatal(err)
	}
}

// readCheckpoint returns the latest checkpoint's groups and sections.
func readCheckpoint(c *Checkpoints) (b, e uint64, sections []section, err error) {
	r, err := c.Latest()
	if err != nil || r == nil {
		return 0, 0, nil, err
	}
	defer r.Close()
	err = r.Sections(func(kind uint16, data []byte) error {
		sections = append(sections, section{kind, bytes.Clone(data)})
		return nil
	})
	return r.B(), r.E(), sections, err
}

func TestCheckpointComesBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c, err := OpenCheckpoints(filepath.Join(t.TempDir(), "checkpoint"))
		if err != nil {
			rt.Fatal(err)
		}
		b := rapid.Uint64Max(1<<62).Draw(rt, "b")
		e := b + rapid.Uint64Max(100).Draw(rt, "e")
		var want []section
		for range rapid.IntRange(0, 6).Draw(rt, "sections") {
			n := rapid.SampledFrom([]int{
				0, 1, 100, 4096, checkpointBufferBytes - 40, checkpointBufferBytes,
				checkpointBufferBytes + 1, SectionBytesMax,
			}).
				Draw(rt, "bytes")
			kind := rapid.Uint16().Draw(rt, "kind")
			want = append(want, section{kind, bytes.Repeat([]byte{byte(kind)}, n)})
		}
		writeCheckpoint(t, c, b, e, want...)
		gotB, gotE, got, err := readCheckpoint(c)
		if err != nil || gotB != b || gotE != e || len(got) != len(want) {
			rt.Fatalf("B %d, E %d, %d sections, %v", gotB, gotE, len(got), err)
		}
		for i := range want {
			if got[i].kind != want[i].kind || !bytes.Equal(got[i].data, want[i].data) {
				rt.Fatalf("section %d differs", i)
			}
		}
	})
}

func TestCheckpointsLifeOfFiles(t *testing.T) {
	c := openCheckpoints(t)
	if b, _, _, err := readCheckpoint(c); err != nil || b != 0 {
		t.Fatalf("B %d of none, %v", b, err)
	}
	writeCheckpoint(t, c, 10, 11, section{1, []byte("ten")})
	w, err := c.Create(20)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Section(1, []byte("twenty")); err != nil {
		t.Fatal(err)
	}
	if b, _, _, err := readCheckpoint(c); err != nil || b != 10 {
		t.Fatalf("an unfinished checkpoint counts: B %d, %v", b, err)
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := w.Section(1, nil); err == nil {
		t.Fatal("a section after the end")
	}
	unfinished, err := c.Create(30)
	if err != nil {
		t.Fatal(err)
	}
	unfinished.f.Close() // A crash.
	if c, err = OpenCheckpoints(c.path); err != nil {
		t.Fatal(err)
	}
	writeCheckpoint(t, c, 40, 44)
	if b, e, _, err := readCheckpoint(c); err != nil || b != 40 || e != 44 {
		t.Fatalf("B %d, E %d, %v", b, e, err)
	}
	entries, err := os.ReadDir(c.path)
	if err != nil || len(entries) != 1 {
		t.Fatalf("files: %v, %v", entries, err)
	}
	w, err = c.Create(50)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Section(1, make([]byte, SectionBytesMax+1)); err == nil {
		t.Fatal("a section too large was taken")
	}
	if err := w.Commit(50); err == nil {
		t.Fatal("a checkpoint with a section that was refused was installed")
	}
	if err := w.Abort(); err != nil {
		t.Fatal(err)
	}
	if b, _, _, err := readCheckpoint(c); err != nil || b != 40 {
		t.Fatalf("B %d, %v", b, err)
	}
}

// small is a checkpoint of a few hundred bytes.
func small(t testing.TB) (c *Checkpoints, path string, data []byte) {
	t.Helper()
	c = openCheckpoints(t)
	writeCheckpoint(t, c, 7, 9, section{1, []byte("first")}, section{2, nil}, section{3, bytes.Repeat([]byte("x"), 200)})
	path = c.name(7)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return c, path, data
}

func TestCheckpointCutAnywhere(t *testing.T) {
	c, path, data := small(t)
	for n := range data {
		write(t, path, data[:n])
		_, _, _, err := readCheckpoint(c)
		refused(t, err, path)
	}
	write(t, path, append(bytes.Clone(data), 0))
	_, _, _, err := readCheckpoint(c)
	refused(t, err, path)
	write(t, path, data)
	if _, _, sections, err := readCheckpoint(c); err != nil || len(sections) != 3 {
		t.Fatalf("%d sections, %v", len(sections), err)
	}
}

func TestCheckpointFlippedAnywhere(t *testing.T) {
	c, path, data := small(t)
	for at := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[at] ^= 1 << bit
			write(t, path, bad)
			if _, _, _, err := readCheckpoint(c); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("bit %d of byte %d: %v", bit, at, err)
			}
		}
	}
	// A section cut out whole is seen by the footer alone.
	first := checkpointHeaderBytes
	cut := append(bytes.Clone(data[:first]), data[first+sectionHeaderBytes+5:]...)
	write(t, path, cut)
	_, _, _, err := readCheckpoint(c)
	refused(t, err, path)
	write(t, c.name(8), data)
	_, _, _, err = readCheckpoint(c)
	refused(t, err, c.name(8)) // The name says another group.
}

func TestCheckpointErrorOfTheReaderIsItsOwn(t *testing.T) {
	c, _, _ := small(t)
	r, err := c.Latest()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	boom := errors.New("boom")
	if err := r.Sections(func(uint16, []byte) error { return boom }); !errors.Is(err, boom) || errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

// FuzzOpenCheckpoint reads anything as a checkpoint: no panic, and what is read whole is what Create writes.
func FuzzOpenCheckpoint(f *testing.F) {
	_, _, data := small(f)
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add(append(appendCheckpointHeader(nil, 1), (&footer{bytes: checkpointHeaderBytes}).append(nil)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		var in checkpointFile
		if err := in.open(bytes.NewReader(data), int64(len(data))); err != nil {
			return
		}
		again := appendCheckpointHeader(nil, in.b)
		err := in.sections(checkpointHeaderBytes, func(_ int64, kind uint16, data []byte) error {
			again = append(appendSectionHeader(again, kind, data), data...)
			return nil
		})
		if err == nil && !bytes.Equal(in.foot.append(again), data) {
			t.Fatal("read whole, but written otherwise")
		}
	})
}

func BenchmarkCheckpoint(b *testing.B) {
	for _, mib := range []int{64, 512} {
		data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20/16)
		b.Run(fmt.Sprintf("write/%dMiB", mib), func(b *testing.B) {
			c := openCheckpoints(b)
			b.SetBytes(int64(mib) << 20)
			for i := range b.N {
				w, err := c.Create(uint64(i))
				if err != nil {
					b.Fatal(err)
				}
				for range mib {
					if err := w.Section(1, data); err != nil {
						b.Fatal(err)
					}
				}
				if err := w.Commit(uint64(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("read/%dMiB", mib), func(b *testing.B) {
			c := openCheckpoints(b)
			writeCheckpoint(b, c, 1, 1, make([]section, 0)...)
			w, err := c.Create(2)
			if err != nil {
				b.Fatal(err)
			}
			for range mib {
				if err := w.Section(1, data); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Commit(2); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(mib) << 20)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				r, err := c.Latest()
				if err != nil {
					b.Fatal(err)
				}
				if err := r.Sections(func(uint16, []byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
				r.Close()
			}
		})
	}
}
