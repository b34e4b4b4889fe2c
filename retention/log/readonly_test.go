package log

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestOpenReadOnly: who looks reads every group, also behind a crash, and changes no byte and no name.
func TestOpenReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l := openLog(t, testOptions(path))
	var want []*Group
	for seq := uint64(1); seq <= 40; seq++ {
		g := testGroup(seq, int64(seq)*1000, 3000)
		if err := l.Append(g); err != nil {
			t.Fatal(err)
		}
		want = append(want, g)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A crash leaves a torn group behind the last one, a file that was being removed, and one copy of the mark.
	last := segmentPath(path, l.writer.segment.number)
	torn := (&frame{}).torn(l, 41)
	damage := func(name string, at int64, data []byte) {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			_, err = f.WriteAt(data, at)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	damage(last, align(l.writer.off, frameAlign), torn)
	damage(filepath.Join(path, "segment-x"+removingSuffix), 0, []byte("x"))
	damage(markPath(path), markStride, make([]byte, markBytes))

	before := content(t, path)
	r, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if seq, _, chain := r.Last(); seq != 40 || chain != want[39].Chain || r.First() != 1 {
		t.Fatalf("groups %d to %d", r.First(), seq)
	}
	next := 0
	err = r.Replay(1, func(g *Group) error {
		next++
		return sameGroup(g, want[next-1])
	})
	if err != nil || next != 40 {
		t.Fatalf("%d groups, %v", next, err)
	}
	if err := r.Append(testGroup(41, 50_000, 10)); !errors.Is(err, errReadOnly) {
		t.Fatalf("append: %v", err)
	}
	if err := r.Release(1<<60, 40); !errors.Is(err, errReadOnly) {
		t.Fatalf("release: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	after := content(t, path)
	for name := range before {
		if !bytes.Equal(before[name], after[name]) {
			t.Errorf("%s was changed", name)
		}
	}
	if len(before) != len(after) {
		t.Errorf("%d files, %d before", len(after), len(before))
	}
	if _, err := OpenReadOnly(filepath.Join(path, "none")); err == nil {
		t.Error("a log that is not there was opened")
	}
}

// torn returns the beginning of the frame of a group that would follow.
func (f *frame) torn(l *Log, seq uint64) []byte {
	f.of(testGroup(seq, int64(seq)*1000, 100), l.writer.segment.salt, l.chain)
	return f.append(nil)
}

func content(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
