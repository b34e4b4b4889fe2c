package retention

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// newLog makes a log of groups 1 to n, one a second, in directories of span seconds, and returns it with its groups.
func newLog(t testing.TB, n, span int, chunkBytes ...int) (*Log, []*Group) {
	t.Helper()
	l := openLog(t, filepath.Join(t.TempDir(), "commit"), span)
	var groups []*Group
	for i := range n {
		groups = append(groups, testGroup(uint64(i+1), int64(i)*1000, int64(i)*1000, chunkBytes...))
		if err := l.Append(groups[i]); err != nil {
			t.Fatal(err)
		}
		l.settle()
	}
	return l, groups
}

func openLog(t testing.TB, path string, span int) *Log {
	t.Helper()
	l, err := OpenLog(logOptions(path, span))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func logOptions(path string, span int) LogOptions {
	return LogOptions{Path: path, Retention: time.Hour, Span: time.Duration(span) * time.Second}
}

// verify opens a log, replays it from 1 and compares it with what was appended. It returns what was found wrong, and
// the groups that came.
func verify(path string, want []*Group) (last int, err error) {
	l, err := OpenLog(logOptions(path, 3600))
	if err != nil {
		return 0, err
	}
	defer l.Close()
	err = l.Replay(1, func(g *Group) error {
		if int(g.Seq) > len(want) {
			return fmt.Errorf("group %d was never appended", g.Seq)
		}
		last = int(g.Seq)
		return sameGroup(g, want[g.Seq-1])
	})
	return last, err
}

// refused fails the test unless err is about damage and names what it should.
func refused(t *testing.T, err error, names string) {
	t.Helper()
	if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), names) {
		t.Fatalf("want damage that names %q, got: %v", names, err)
	}
}

func setMark(t *testing.T, dir string, seq uint64) {
	t.Helper()
	m, err := openMark(dir, discard())
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for i := range uint64(2) {
		if err := m.writeCopy(seq, i); err != nil {
			t.Fatal(err)
		}
	}
}

// find returns where content begins in a file.
func find(t *testing.T, path string, content []byte) int64 {
	t.Helper()
	at := -1
	if err := mapFile(path, func(data []byte) { at = bytes.Index(data, content) }); err != nil || at < 0 {
		t.Fatalf("content not found in %q: %v", path, err)
	}
	return int64(at)
}

func TestTornGroupBeyondTheMarkIsDropped(t *testing.T) {
	l, groups := newLog(t, 6, 3600, 5000)
	for _, c := range []struct {
		name, ext string
		content   []byte
	}{
		{"in the value log", ".vlog", groups[5].Chunks[0]},
		{"in the memtable", ".mem", appendKey(nil, 6, 0)},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := clone(t, l.opts.Path)
			setMark(t, path, 5)
			file := files(t, filepath.Join(path, "g00000000000000000001"), c.ext)[0]
			flip(t, file, find(t, file, c.content))
			for range 2 { // The second time it was closed in peace.
				if last, err := verify(path, groups); err != nil || last != 5 {
					t.Fatalf("last group %d, %v", last, err)
				}
			}
			again := openLog(t, path, 3600)
			if err := again.Append(groups[5]); err != nil {
				t.Fatal(err)
			}
			again.Close()
			if last, err := verify(path, groups); err != nil || last != 6 {
				t.Fatalf("appended again: last group %d, %v", last, err)
			}
		})
	}
}

// TestFlippedByteRefusesAndHarmsNothing flips a byte where Badger would truncate, and sees that the refusal left the
// rest alone: with the byte flipped back everything is there.
func TestFlippedByteRefusesAndHarmsNothing(t *testing.T) {
	l, groups := newLog(t, 20, 3600, 300, 5000)
	crashed := clone(t, l.opts.Path)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path, ext string
		content         []byte
	}{
		{"chunk after a crash", crashed, ".vlog", groups[9].Chunks[1]},
		{"last chunk after a crash", crashed, ".vlog", groups[19].Chunks[1]},
		{"header after a crash", crashed, ".mem", []byte("head of 10")},
		{"last header after a crash", crashed, ".mem", []byte("head of 20")},
		{"chunk after a close", l.opts.Path, ".vlog", groups[9].Chunks[1]},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := clone(t, c.path)
			file := files(t, filepath.Join(path, "g00000000000000000001"), c.ext)[0]
			at := find(t, file, c.content)
			flip(t, file, at)
			_, err := verify(path, groups)
			refused(t, err, file)
			flip(t, file, at)
			if last, err := verify(path, groups); err != nil || last != 20 {
				t.Fatalf("flipped back: last group %d, %v", last, err)
			}
		})
	}
}

func TestLostTailBeforeTheMarkRefuses(t *testing.T) {
	l, groups := newLog(t, 20, 3600, 300, 5000)
	crashed := clone(t, l.opts.Path)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := "g00000000000000000001"
	for _, c := range []struct {
		name, path string
		lose       func(t *testing.T, dir string)
	}{
		{"value log cut after a crash", crashed, func(t *testing.T, dir string) {
			file := files(t, dir, ".vlog")[0]
			if err := os.Truncate(file, find(t, file, groups[15].Chunks[1])); err != nil {
				t.Fatal(err)
			}
		}},
		{"value log gone after a crash", crashed, func(t *testing.T, dir string) { os.Remove(files(t, dir, ".vlog")[0]) }},
		{"memtable cut after a crash", crashed, func(t *testing.T, dir string) {
			file := files(t, dir, ".mem")[0]
			if err := os.Truncate(file, find(t, file, []byte("head of 16"))); err != nil {
				t.Fatal(err)
			}
		}},
		{"memtable gone after a crash", crashed, func(t *testing.T, dir string) { os.Remove(files(t, dir, ".mem")[0]) }},
		{"memtable zeroed from a page on", crashed, func(t *testing.T, dir string) {
			file := files(t, dir, ".mem")[0]
			st, _ := os.Stat(file)
			os.Truncate(file, find(t, file, []byte("head of 16"))&^511)
			os.Truncate(file, st.Size())
		}},
		{"value log cut after a close", l.opts.Path, func(t *testing.T, dir string) {
			file := files(t, dir, ".vlog")[0]
			if err := os.Truncate(file, find(t, file, groups[15].Chunks[1])); err != nil {
				t.Fatal(err)
			}
		}},
		{"table gone after a close", l.opts.Path, func(t *testing.T, dir string) {
			tables, _ := filepath.Glob(filepath.Join(dir, "*.sst"))
			os.Remove(tables[0])
		}},
		{"directory gone", l.opts.Path, func(t *testing.T, dir string) { os.RemoveAll(dir) }},
		{"mark gone", l.opts.Path, func(t *testing.T, dir string) { os.Remove(markPath(filepath.Dir(dir))) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := clone(t, c.path)
			c.lose(t, filepath.Join(path, dir))
			for range 2 { // It stays refused.
				if last, err := verify(path, groups); err == nil || !strings.Contains(err.Error(), path) {
					t.Fatalf("last group %d, %v", last, err)
				}
			}
		})
	}
}

func TestDamagedMark(t *testing.T) {
	l, groups := newLog(t, 3, 3600, 100)
	path := clone(t, l.opts.Path)
	flip(t, markPath(path), 9)
	var told bytes.Buffer
	o := logOptions(path, 3600)
	o.Logger = slog.New(slog.NewTextHandler(&told, nil))
	again, err := OpenLog(o)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if !strings.Contains(told.String(), markPath(path)) {
		t.Fatalf("the damaged copy was not told: %s", told.String())
	}
	told.Reset()
	if again, err = OpenLog(o); err != nil || told.Len() > 0 {
		t.Fatalf("the damaged copy was not written again: %v, %s", err, told.String())
	}
	again.Close()
	flip(t, markPath(path), 9)
	flip(t, markPath(path), markStride+2)
	_, err = verify(path, groups)
	refused(t, err, markPath(path))
}

func TestDamagedSpanFile(t *testing.T) {
	l, groups := newLog(t, 30, 10, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.opts.Path, "g00000000000000000001", sealName)
	flip(t, file, 25)
	_, err := verify(l.opts.Path, groups)
	refused(t, err, file)
	// Without it the directory is read instead.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if last, err := verify(l.opts.Path, groups); err != nil || last != 30 {
		t.Fatalf("last group %d, %v", last, err)
	}
}

// TestAnyFlippedByte flips single bits all over a log of several directories. Either somebody notices and names a path,
// or everything comes back: a byte may be one that nobody reads.
func TestAnyFlippedByte(t *testing.T) {
	l, groups := newLog(t, 40, 10, 200, 3000)
	l.pool.wg.Wait()
	crashed := clone(t, l.opts.Path)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	noticed := 0
	for range 60 {
		from := []string{crashed, l.opts.Path}[rng.IntN(2)]
		path := clone(t, from)
		file, at := randomByte(t, path, rng)
		flip(t, file, at)
		last, err := verify(path, groups)
		switch {
		case err != nil && !strings.Contains(err.Error(), path):
			t.Errorf("byte %d of %s: no path in: %v", at, file, err)
		case err != nil:
			noticed++
		case last != len(groups):
			t.Errorf("byte %d of %s: nobody noticed, but group %d is the last", at, file, last)
		}
		os.RemoveAll(path)
	}
	if noticed < 20 {
		t.Errorf("only %d of 60 flips were noticed", noticed)
	}
}

// randomByte picks a byte that is not in a hole or a tail of zeros.
func randomByte(t *testing.T, dir string, rng *rand.Rand) (file string, at int64) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		file = all[rng.IntN(len(all))]
		n := 0
		if err := mapFile(file, func(data []byte) { n = len(bytes.TrimRight(data, "\x00")) }); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return file, rng.Int64N(int64(n))
		}
	}
}

func TestLeftoverOfLengthZero(t *testing.T) {
	l, groups := newLog(t, 3, 3600, 100)
	path := clone(t, l.opts.Path)
	for _, name := range []string{"00009.mem", "000009.vlog"} {
		if err := os.WriteFile(filepath.Join(path, "g00000000000000000001", name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if last, err := verify(path, groups); err != nil || last != 3 {
		t.Fatalf("last group %d, %v", last, err)
	}
}
