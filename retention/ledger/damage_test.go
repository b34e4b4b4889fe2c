package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// small makes every kind of file come about with few rows.
func small(path string) Options {
	return Options{Path: path, size: size{memTableBytes: 1 << 20, valueLogBytes: 1 << 20}}
}

const damageGroups = 60

// groupRows are the rows of a group in the tests of damage: small ones for the tables, a large one for the value log.
func groupRows(seq int) []Entry {
	value := bytes.Repeat(fmt.Appendf(nil, "small value of %04d ", seq), 20)
	var entries []Entry
	for i := range 60 {
		entries = append(entries, Entry{Key: fmt.Appendf(nil, "row/%04d/%02d", seq, i), Value: value})
	}
	large := bytes.Repeat(fmt.Appendf(nil, "large value of %04d ", seq), 1500)
	return append(entries, Entry{Key: fmt.Appendf(nil, "large/%04d", seq), Value: large})
}

// twoStores makes a store with tables, memtables and value log files, as a kill and as Close leave it.
func twoStores(t *testing.T) (killed, closed string) {
	t.Helper()
	closed = filepath.Join(t.TempDir(), "ledger")
	s := openWith(t, small(closed))
	for seq := 1; seq <= damageGroups; seq++ {
		write(t, s, uint64(seq), groupRows(seq)...)
	}
	count := func(ext string) int {
		list, _ := filepath.Glob(closed + "/*" + ext)
		return len(list)
	}
	// Badger writes tables in the background, and removes a memtable when the manifest names its table.
	for count(".sst") == 0 || count(".mem") > 1 {
		runtime.Gosched()
	}
	killed = clone(t, closed)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return killed, closed
}

// verify opens a store and holds it to its promise: it has exactly the rows of its position.
func verify(path string) (position int, err error) {
	s, err := Open(small(path))
	if err != nil {
		return 0, err
	}
	want := map[string]string{}
	position = int(s.Position().Seq)
	for seq := 1; seq <= position; seq++ {
		for _, e := range groupRows(seq) {
			want[string(e.Key)] = string(e.Value)
		}
	}
	err = s.Scan(nil, nil, false, func(k, v []byte) (bool, error) {
		if want[string(k)] != string(v) {
			return false, fmt.Errorf("BROKEN PROMISE: row %q has a wrong value", k)
		}
		delete(want, string(k))
		return true, nil
	})
	if err == nil && len(want) > 0 {
		err = fmt.Errorf("BROKEN PROMISE: at position %d there are %d rows too few", position, len(want))
	}
	return position, errors.Join(err, end(s))
}

// broken reports whether verify found a broken promise, or an error that does not say where.
func broken(err error, dir string) bool {
	return strings.Contains(err.Error(), "BROKEN PROMISE") || !strings.Contains(err.Error(), dir)
}

func refused(t *testing.T, err error, names string) {
	t.Helper()
	if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), names) {
		t.Fatalf("want damage that names %q, got: %v", names, err)
	}
}

func refusedAsMachines(t *testing.T, err error) {
	t.Helper()
	if err == nil || errors.Is(err, disk.ErrDamaged) {
		t.Fatalf("want an error that is no damage, got: %v", err)
	}
}

func TestAfterAKillAndAfterClose(t *testing.T) {
	killed, closed := twoStores(t)
	if n := len(named(t, killed, ".mem")); n == 0 {
		t.Fatal("a kill leaves no memtable")
	}
	if n := len(named(t, closed, ".mem")); n != 0 {
		t.Fatalf("closing leaves %d memtables: check takes them for a kill's", n)
	}
	for _, path := range []string{killed, closed} {
		if len(named(t, path, ".sst")) == 0 || len(named(t, path, ".vlog")) < 2 {
			t.Fatalf("%q has too few kinds of files", path)
		}
		for range 2 {
			if n, err := verify(path); err != nil || n != damageGroups {
				t.Fatalf("%q: position %d, %v", path, n, err)
			}
		}
	}
}

// TestDamage does to each kind of file what Badger would end the process over, or say nothing of.
func TestDamage(t *testing.T) {
	killed, closed := twoStores(t)
	remove := func(t *testing.T, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, from string
		do         func(t *testing.T, dir string) (names string)
	}{
		{"manifest gone", closed, func(t *testing.T, dir string) string {
			remove(t, filepath.Join(dir, "MANIFEST"))
			return "MANIFEST"
		}},
		{"manifest gone, memtable there", killed, func(t *testing.T, dir string) string {
			remove(t, filepath.Join(dir, "MANIFEST"))
			for _, ext := range []string{".sst", ".vlog"} {
				for _, path := range named(t, dir, ext) {
					remove(t, path)
				}
			}
			return "MANIFEST"
		}},
		{"manifest of somebody else", closed, func(t *testing.T, dir string) string {
			flip(t, filepath.Join(dir, "MANIFEST"), 1)
			return "MANIFEST"
		}},
		{"a length in the manifest", closed, func(t *testing.T, dir string) string {
			flip(t, filepath.Join(dir, "MANIFEST"), 8+3) // The first record's, 16 bytes more or less.
			return "MANIFEST"
		}},
		{"a large length in the manifest", closed, func(t *testing.T, dir string) string {
			flip(t, filepath.Join(dir, "MANIFEST"), 8)
			return "MANIFEST"
		}},
		{"the last length in the manifest", killed, func(t *testing.T, dir string) string {
			path := filepath.Join(dir, "MANIFEST")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			last := 8
			for at := last; at < len(data); at += 8 + int(binary.BigEndian.Uint32(data[at:])) {
				last = at
			}
			flip(t, path, int64(last+3))
			return path
		}},
		{"table gone", closed, func(t *testing.T, dir string) string {
			remove(t, named(t, dir, ".sst")[0])
			return dir
		}},
		{"table cut", closed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".sst")[0]
			truncate(t, path, -100)
			return path
		}},
		{"table empty", closed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".sst")[0]
			truncate(t, path, 0)
			return path
		}},
		{"length of a table's checksum", closed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".sst")[0]
			flip(t, path, fileBytes(t, path)-4)
			return path
		}},
		{"kind of a table's checksum", closed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".sst")[0]
			overwrite(t, path, fileBytes(t, path)-4-6, []byte{1 << 3, 77}) // Badger panics over it.
			return path
		}},
		{"length of the last block's checksum", closed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".sst")[0]
			overwrite(t, path, lastBlockEnd(t, path)-4, []byte{0, 0, 0xf, 0xff})
			return path
		}},
		{"a block of the middle", closed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".sst")[0]
			flip(t, path, find(t, path, "small value of 0003"))
			return path
		}},
		{"an older memtable", killed, func(t *testing.T, dir string) string {
			newest := named(t, dir, ".mem")
			copyTo(t, newest[len(newest)-1], filepath.Join(dir, "99999.mem"))
			flip(t, newest[len(newest)-1], 500)
			return newest[len(newest)-1]
		}},
		{"memtable too large", killed, func(t *testing.T, dir string) string {
			path := named(t, dir, ".mem")[0]
			truncate(t, path, 64<<20)
			return path
		}},
		{"newest value log gone", closed, func(t *testing.T, dir string) string {
			logs := named(t, dir, ".vlog")
			remove(t, logs[len(logs)-1])
			return filepath.Base(logs[len(logs)-1][:len(logs[0])-len(".vlog")])
		}},
		{"garbage counts no file", closed, func(t *testing.T, dir string) string {
			remove(t, filepath.Join(dir, "DISCARD"))
			if err := os.Mkdir(filepath.Join(dir, "DISCARD"), 0o700); err != nil {
				t.Fatal(err)
			}
			return "DISCARD"
		}},
		{"key registry", closed, func(t *testing.T, dir string) string {
			flip(t, filepath.Join(dir, "KEYREGISTRY"), 20)
			return dir
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := clone(t, c.from)
			names := c.do(t, dir)
			_, err := Open(small(dir))
			refused(t, err, names)
		})
	}
}

// What only reading can find is an error of the reader's, and final: a row never comes with a wrong value.
func TestDamageThatReadingFinds(t *testing.T) {
	killed, closed := twoStores(t)
	for name, c := range map[string]struct{ from, ext, content string }{
		"value":            {closed, ".vlog", "large value of 0003"},
		"value after kill": {killed, ".vlog", "large value of 0003"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := clone(t, c.from)
			for _, path := range named(t, dir, c.ext) {
				if at := find(t, path, c.content); at >= 0 {
					flip(t, path, at)
					break
				}
			}
			if _, err := verify(dir); err == nil || broken(err, dir) {
				t.Fatalf("nobody noticed, or no path: %v", err)
			}
		})
	}
}

// TestTableThatGoesBad after it was opened is found by Maintain.
func TestTableThatGoesBad(t *testing.T) {
	_, closed := twoStores(t)
	s := openWith(t, small(closed))
	tables := named(t, closed, ".sst")
	for range tables {
		if err := s.Maintain(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
	}
	path := tables[len(tables)-1]
	flip(t, path, find(t, path, "small value of"))
	var err error
	for range tables {
		if err = s.Maintain(t.Context(), 1); err != nil {
			break
		}
	}
	refused(t, err, path)
	refused(t, s.Err(), path)
}

// The newest memtable is cut where it is damaged, and the position goes back with the rows.
func TestPositionGoesBackWithItsRows(t *testing.T) {
	killed, _ := twoStores(t)
	mem := named(t, killed, ".mem")
	newest := mem[len(mem)-1]
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	end := entriesEnd(data)
	for _, at := range []int{end - 1, end / 2, memtableHeaderBytes} {
		dir := clone(t, killed)
		flip(t, filepath.Join(dir, filepath.Base(newest)), int64(at))
		n, err := verify(dir)
		if err != nil || n >= damageGroups || n == 0 {
			t.Fatalf("flipped at %d: position %d, %v", at, n, err)
		}
	}
}

// TestAnyFlippedByte flips bytes anywhere: the store is refused, or reading fails, or it has the rows of its position.
func TestAnyFlippedByte(t *testing.T) {
	killed, closed := twoStores(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range 60 {
		from := []string{killed, closed}[i%2]
		dir := clone(t, from)
		list, err := listFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		f := list[rng.IntN(len(list))]
		if f.bytes == 0 {
			continue
		}
		span := f.bytes
		if rng.IntN(2) == 0 { // Where the lengths are: near the end of what is written.
			span = min(span, 4096)
		}
		at := rng.Int64N(span)
		if filepath.Ext(f.name) == ".sst" && rng.IntN(2) == 0 {
			at = f.bytes - 1 - at%min(f.bytes, 2000)
		}
		path := filepath.Join(dir, f.name)
		flip(t, path, at)
		if _, err := verify(dir); err != nil && broken(err, dir) {
			t.Errorf("byte %d of %d of %q: %v", at, f.bytes, f.name, err)
		}
	}
}

// A table that the manifest does not name was never used, whatever is in it.
func TestTornTableThatNobodyNames(t *testing.T) {
	killed, _ := twoStores(t)
	if err := os.WriteFile(filepath.Join(killed, "009999.sst"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := verify(killed); err != nil || n != damageGroups {
		t.Fatalf("position %d, %v", n, err)
	}
}

// A power cut may keep the name of a new file and not its size. Nothing in it was ever acknowledged. And a kill may
// come when Badger has emptied a memtable that tables hold, or an old value log, and has not removed it yet.
func TestNamesWithoutContent(t *testing.T) {
	for _, name := range []string{"99999.mem", "00000.mem", "999999.vlog", "000000.vlog", "DISCARD"} {
		killed, _ := twoStores(t)
		if err := os.WriteFile(filepath.Join(killed, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := verify(killed); err != nil || n != damageGroups {
			t.Fatalf("%s is empty: position %d, %v", name, n, err)
		}
	}
	killed, _ := twoStores(t)
	truncate(t, filepath.Join(killed, "DISCARD"), 4096)
	if n, err := verify(killed); err != nil || n != damageGroups {
		t.Fatalf("DISCARD is short: position %d, %v", n, err)
	}
}

// A kill may cut off the last record of the manifest: it was not acknowledged.
func TestTornManifest(t *testing.T) {
	killed, _ := twoStores(t)
	f, err := os.OpenFile(filepath.Join(killed, "MANIFEST"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte{0, 0, 0, 9, 1, 2, 3, 4, 8}); err != nil {
		t.Fatal(err)
	}
	if n, err := verify(killed); err != nil || n != damageGroups {
		t.Fatalf("position %d, %v", n, err)
	}
}

func TestWhatTheMachineMustMend(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read and write everything")
	}
	_, closed := twoStores(t)
	if err := os.Chmod(filepath.Join(closed, "DISCARD"), 0o400); err != nil {
		t.Fatal(err)
	}
	_, err := Open(small(closed))
	refusedAsMachines(t, err)
}

// FuzzManifestRecord, FuzzEntry and FuzzTable read anything as what Badger writes: no panic, no read behind the end.
func FuzzManifestRecord(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, crc32.Checksum([]byte("x"), castagnoli)))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if isManifestRecord(data) && int(binary.BigEndian.Uint32(data))+8 > len(data) {
			t.Fatal("the record is longer than what there is")
		}
	})
}

func FuzzEntry(f *testing.F) {
	good := []byte{0, 0, 1, 1, 0, 'k', 'v'}
	good = binary.BigEndian.AppendUint32(good, crc32.Checksum(good, castagnoli))
	f.Add(good)
	f.Add(append([]byte{0, 0}, bytes.Repeat([]byte{0xff}, 30)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		n := entryBytes(data)
		if n > len(data) || n > 0 && entryBytes(data[:n]) != n {
			t.Fatalf("an entry of %d bytes in %d", n, len(data))
		}
	})
}

func FuzzTable(f *testing.F) {
	block := append([]byte("entry"), 0, 0, 0, 0, 0, 0, 0, 1)
	sum := binary.AppendUvarint([]byte{2 << 3}, uint64(crc32.Checksum(block, castagnoli)))
	block = binary.BigEndian.AppendUint32(append(block, sum...), uint32(len(sum)))
	f.Add(block)
	f.Fuzz(func(_ *testing.T, data []byte) {
		_ = isBlock(data)
		_ = recovered(func() error { return proveTable(bytes.NewReader(data), int64(len(data))) })
	})
}

func FuzzPosition(f *testing.F) {
	f.Add(appendPosition(nil, at(7), 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, valueLog, err := decodePosition(data)
		if err == nil && !bytes.Equal(appendPosition(nil, p, valueLog), data) {
			t.Fatal("read, but written otherwise")
		}
	})
}

// truncate cuts a file to a size, or by one that is negative.
func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if size < 0 {
		size += fileBytes(t, path)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func fileBytes(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func overwrite(t *testing.T, path string, at int64, data []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, at); err != nil {
		t.Fatal(err)
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	if err := cloneFile(from, to); err != nil {
		t.Fatal(err)
	}
}

// find returns where a file has content, or -1.
func find(t *testing.T, path, content string) int64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return int64(bytes.Index(data, []byte(content)))
}

// lastBlockEnd returns where the last block of a table ends: where its index begins.
func lastBlockEnd(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, end, err := readBefore(f, fileBytes(t, path), "checksum")
	if err == nil {
		_, end, err = readBefore(f, end, "index")
	}
	if err != nil {
		t.Fatal(err)
	}
	return end
}
