package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// clone copies the files of a log as they are. Of one that is open it is what a kill -9 at this instant would leave.
func clone(t testing.TB, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "clone")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// flip changes one bit of a file.
func flip(t testing.TB, path string, at int64) {
	t.Helper()
	change(t, path, at, func(b []byte) { b[0] ^= 0x10 }, 1)
}

// change changes n bytes of a file.
func change(t testing.TB, path string, at int64, with func(b []byte), n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, n)
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	with(b)
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// setMark makes the mark of a log older than it is, as a power cut does.
func setMark(t testing.TB, path string, seq uint64) {
	t.Helper()
	b := make([]byte, markBytes)
	encodeMark(b, seq)
	for i := range int64(2) {
		change(t, markPath(path), i*markStride, func(x []byte) { copy(x, b) }, markBytes)
	}
}

// refused fails unless err is damage that names the file, and the byte if there is one, and says what to do.
func refused(t testing.TB, err error, path string, at int64) {
	t.Helper()
	switch {
	case !errors.Is(err, disk.ErrDamaged):
		t.Fatalf("it was not refused: %v", err)
	case !strings.Contains(err.Error(), fmt.Sprintf("%q", path)) || !strings.Contains(err.Error(), "backup"):
		t.Fatalf("%s is not named, or not what to do: %v", path, err)
	case at >= 0 && !strings.Contains(err.Error(), fmt.Sprintf("byte %d", at)):
		t.Fatalf("byte %d is not named: %v", at, err)
	}
}

// frameAt returns where a group of the open segment begins.
func frameAt(t testing.TB, l *Log, seq uint64) int64 {
	t.Helper()
	var b batch
	l.mu.Lock()
	v := l.hold(l.segments[len(l.segments)-1])
	l.mu.Unlock()
	defer l.letGo(v)
	if err := v.openFile(); err != nil {
		t.Fatal(err)
	}
	c := v.cursor()
	if err := c.read(&b, v.limit); err != nil || seq < v.first {
		t.Fatal(err)
	}
	return b.at[seq-v.first]
}

// TestFlippedByteInTheOpenSegment flips each kind of byte of each place in the log: behind the first, a middle and the
// last group. Only the last frame may be torn, and only beyond the mark.
func TestFlippedByteInTheOpenSegment(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 5, 100, 3000)
	if len(l.segments) != 2 {
		t.Fatal(len(l.segments))
	}
	groups = append(groups, appendGroups(t, l, 1, 100, 3000)...)
	file := l.writer.segment.path
	header := int64(frameFixedBytes + 3*partBytes)
	kinds := map[string]int64{
		"magic":       0,
		"checksum":    4,
		"salt":        8,
		"sequence":    16,
		"first time":  24,
		"last time":   32,
		"chain":       40,
		"chunks":      56,
		"head bytes":  60,
		"head hash":   64,
		"chunk bytes": 72,
		"chunk hash":  78,
		"head":        header + 3,
		"first chunk": header + 9 + 50,
		"last byte":   header + 9 + 3100 - 1,
	}
	for seq := l.writer.segment.first; seq <= 6; seq++ {
		at := frameAt(t, l, seq)
		for kind, off := range kinds {
			t.Run(fmt.Sprintf("%s of group %d", kind, seq), func(t *testing.T) {
				path := clone(t, l.opts.Path)
				name := filepath.Join(path, filepath.Base(file))
				flip(t, name, at+off)
				before, _ := os.ReadFile(name)
				_, err := verify(path, groups)
				refused(t, err, name, at)
				if after, _ := os.ReadFile(name); string(after) != string(before) {
					t.Fatal("what was refused was changed")
				}
				setMark(t, path, seq-1)
				last, err := verify(path, groups)
				if seq < 6 {
					refused(t, err, name, at)
				} else if err != nil || last != 5 {
					t.Fatalf("last group %d, %v", last, err)
				}
			})
		}
	}
}

// TestFlippedByteInAClosedSegment is found when the segment is read.
func TestFlippedByteInAClosedSegment(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 60, 100, 3000)
	s := l.segments[1]
	var b batch
	l.mu.Lock()
	v := l.hold(s)
	l.mu.Unlock()
	if err := v.openFile(); err != nil {
		t.Fatal(err)
	}
	c := v.cursor()
	if err := c.read(&b, v.limit); err != nil {
		t.Fatal(err)
	}
	l.letGo(v)
	for i, at := range b.at {
		for _, off := range []int64{0, 5, 10, 17, 30, 45, 57, 61, 65, 74, 80, 115, 1000} {
			path := clone(t, l.opts.Path)
			name := filepath.Join(path, filepath.Base(s.path))
			flip(t, name, at+off)
			_, err := verify(path, groups)
			refused(t, err, name, at)
			again := openLog(t, testOptions(path))
			var block Block
			if _, err := readBack(again, s.last+1, 0, 1<<60, 1, &block); err == nil {
				t.Fatalf("byte %d of group %d: nobody noticed", off, b.groups[i].Seq)
			}
			if _, err := again.ChainOf(s.last - 1); err == nil {
				t.Fatalf("byte %d of group %d: nobody noticed", off, b.groups[i].Seq)
			}
			// What does not need the segment is served, to a view that has passed its last group, too.
			if chain, err := again.ChainOf(s.last); err != nil || chain != groups[s.last-1].Chain {
				t.Fatal(err)
			}
			if err := again.Replay(s.last+1, func(g *Group) error { return sameGroup(g, groups[g.Seq-1]) }); err != nil {
				t.Fatal(err)
			}
			again.Close()
		}
	}
}

// One bad copy of a header is told and changes nothing, two are damage.
func TestFlippedHeader(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 60, 100, 3000)
	for _, s := range []*segment{l.segments[0], l.segments[2], l.writer.segment} {
		for off := int64(0); off < headerBytes; off += 3 {
			path := clone(t, l.opts.Path)
			name := filepath.Join(path, filepath.Base(s.path))
			flip(t, name, off)
			if last, err := verify(path, groups); err != nil || last != 60 {
				t.Fatal(last, err)
			}
			flip(t, name, headerCopyAt+off/2)
			if s != l.writer.segment { // There the first copy was written again.
				_, err := verify(path, groups)
				refused(t, err, name, 0)
			} else if last, err := verify(path, groups); err != nil || last != 60 {
				t.Fatal(last, err)
			}
			flip(t, name, off)
			flip(t, name, headerCopyAt+off)
			os.RemoveAll(path)
		}
	}
}

func TestMissingFiles(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 60, 100, 3000)
	n := uint64(len(l.segments))
	for number := uint64(1); number <= n; number++ {
		path := clone(t, l.opts.Path)
		name := segmentPath(path, number)
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		last, err := verify(path, groups)
		if number == 1 { // Nobody knows that it was not released; the caller sees First.
			if err != nil || last != 60 {
				t.Fatal(last, err)
			}
			continue
		}
		refused(t, err, name, -1)
	}
	path := clone(t, l.opts.Path)
	if err := os.Remove(markPath(path)); err != nil {
		t.Fatal(err)
	}
	_, err := verify(path, groups)
	refused(t, err, markPath(path), -1)
	// All segments, with and without what was prepared.
	for _, keep := range []uint64{n + 1, n + 100} {
		path := clone(t, l.opts.Path)
		for number := uint64(1); number < keep; number++ {
			if err := os.Remove(segmentPath(path, number)); err != nil && number <= n {
				t.Fatal(err)
			}
		}
		if _, err := verify(path, groups); !errors.Is(err, disk.ErrDamaged) {
			t.Fatal(err)
		}
		setMark(t, path, 0)
		if _, err := verify(path, groups); (err == nil) != (keep > n+1) {
			t.Fatal(err)
		}
	}
}

// A begun segment that looks prepared, in the middle of the log.
func TestBlankHeader(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 60, 100, 3000)
	for _, s := range []*segment{l.segments[0], l.segments[2]} {
		path := clone(t, l.opts.Path)
		name := filepath.Join(path, filepath.Base(s.path))
		change(t, name, 0, func(b []byte) { clear(b) }, pageBytes)
		_, err := verify(path, groups)
		refused(t, err, name, -1)
	}
	path := clone(t, l.opts.Path)
	change(t, filepath.Join(path, filepath.Base(l.writer.segment.path)), 0, func(b []byte) { clear(b) }, pageBytes)
	_, err := verify(path, groups)
	refused(t, err, segmentPath(path, l.writer.segment.number-1), -1) // The mark is beyond.
}

func TestLostTail(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 3, 100)
	path := clone(t, l.opts.Path)
	at := frameAt(t, l, 3)
	name := filepath.Join(path, filepath.Base(l.writer.segment.path))
	change(t, name, at, func(b []byte) { clear(b) }, 200)
	_, err := verify(path, groups)
	refused(t, err, name, at)
	setMark(t, path, 2)
	if last, err := verify(path, groups); err != nil || last != 2 {
		t.Fatal(last, err)
	}
	// A file that ends early is the same.
	path = clone(t, l.opts.Path)
	name = filepath.Join(path, filepath.Base(l.writer.segment.path))
	if err := os.Truncate(name, at+30); err != nil {
		t.Fatal(err)
	}
	_, err = verify(path, groups)
	refused(t, err, name, at)
}

// A frame of another segment whose checksums are right is not taken for one of this.
func TestPayloadWithAFrameOfAnotherSegment(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 0)
	older := encoded(&Group{Seq: 3, LastMs: 5000}, 12345, Chain{9})
	var chunk []byte
	for len(chunk) < 8*pageBytes { // At every alignment.
		chunk = append(append(chunk, older...), 0, 0, 0)
	}
	for seq := uint64(1); seq <= 3; seq++ {
		g := testGroup(seq, int64(seq)*1000)
		g.Chunks = [][]byte{chunk}
		if err := l.Append(g); err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	path := clone(t, l.opts.Path)
	if last, err := verify(path, groups); err != nil || last != 3 {
		t.Fatal(last, err)
	}
	setMark(t, path, 2)
	flip(t, l.segmentIn(path), frameAt(t, l, 3))
	if last, err := verify(path, groups); err != nil || last != 2 {
		t.Fatal(last, err)
	}
}

// What an earlier use of the file left lies where the next frame will: whole, but with another salt.
func TestOldFramesBehindTheEnd(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 0)
	aPage := pageBytes - frameFixedBytes - 2*partBytes - len("head of 10")
	groups = append(groups, appendGroups(t, l, 9, aPage+1)...)
	groups = append(groups, appendGroups(t, l, 40, aPage)...)
	if err := l.Release(1<<40, 49); err != nil {
		t.Fatal(err)
	}
	old := 0
	for seq := uint64(50); seq <= 90; seq++ {
		groups = append(groups, appendGroups(t, l, 1, aPage)...)
		b := make([]byte, pageBytes)
		n, _ := l.writer.f.ReadAt(b, l.writer.off)
		var f frame
		var g Group
		if _, _, err := f.decodeGroup(b[:n], binary.LittleEndian.Uint64(b[8:]), &g, nil); err == nil && g.Seq < seq {
			old++
		}
		path := clone(t, l.opts.Path)
		setMark(t, path, 49)
		if last, err := verify(path, groups); err != nil || last != seq {
			t.Fatal(last, seq, err)
		}
	}
	if old < 10 {
		t.Fatalf("only %d times an old frame was behind the end", old)
	}
}

func (l *Log) segmentIn(path string) string {
	return filepath.Join(path, filepath.Base(l.writer.segment.path))
}

func TestDamagedMark(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 30, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := l.opts.Path
	flip(t, markPath(path), markStride+2)
	if last, err := verify(path, groups); err != nil || last != 30 {
		t.Fatal(last, err)
	}
	flip(t, markPath(path), 9)
	flip(t, markPath(path), markStride+2) // It was written again; now both are bad.
	_, err := verify(path, groups)
	refused(t, err, markPath(path), -1)
}

// TestAnyFlippedByte flips single bits all over a log. Either somebody notices and names a file, or everything comes
// back: a byte may be one that nobody reads.
func TestAnyFlippedByte(t *testing.T) {
	t.Parallel()
	l, groups := newLog(t, 40, 200, 3000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	noticed := 0
	for range 60 {
		path := clone(t, l.opts.Path)
		s := l.segments[rng.IntN(len(l.segments))]
		name, at := filepath.Join(path, filepath.Base(s.path)), rng.Int64N(s.end)
		flip(t, name, at)
		last, err := verify(path, groups)
		switch {
		case err != nil && !strings.Contains(err.Error(), path):
			t.Errorf("byte %d of %s: no path in: %v", at, name, err)
		case err != nil:
			noticed++
		case last != 40:
			t.Errorf("byte %d of %s: nobody noticed, but group %d is the last", at, name, last)
		}
		os.RemoveAll(path)
	}
	if noticed < 20 {
		t.Errorf("only %d of 60 flips were noticed", noticed)
	}
}
