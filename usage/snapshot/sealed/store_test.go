package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func november30(hours int) time.Time {
	return time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC).Add(time.Duration(hours) * time.Hour)
}

// read returns a file of a snapshot as the store gives it.
func (b *bed) read(m *Manifest, name string, focus bool) string {
	b.t.Helper()
	f, _, err := b.store.Open(m, name)
	must(b.t, err)
	defer f.Close()
	var r io.Reader = f
	if focus {
		r, _ = FocusReader(name, f)
	}
	content, err := io.ReadAll(r)
	must(b.t, err)
	return string(content)
}

// TestCrash opens what a crash may leave at each stage, alone and in a cell of a cluster.
func TestCrash(t *testing.T) {
	for _, prefix := range []string{"", "3-"} {
		t.Run(prefix, func(t *testing.T) { testCrash(t, prefix) })
	}
}

func testCrash(t *testing.T, prefix string) {
	b := newBed(t)
	b.prefix = prefix
	b.open()
	m := b.sealed(Request{})
	tmp := filepath.Join(b.path, "."+prefix+"s00000002.tmp")
	must(t, os.CopyFS(tmp, os.DirFS(filepath.Join(b.path, m.ID))))
	manifest := filepath.Join(tmp, ManifestName)

	// Everything is there, but not all of it: it is removed.
	must(t, os.Remove(manifest))
	b.open()
	if _, err := os.Stat(tmp); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is still there: %v", err)
	}

	// It is complete: it gets its name, and the audit log gets its entry once more.
	must(t, os.CopyFS(tmp, os.DirFS(filepath.Join(b.path, m.ID))))
	next := *m
	next.ID, next.Sequence, next.Previous = prefix+"s00000002", 2, &m.SHA256
	encoded, err := next.Encode()
	must(t, err)
	must(t, os.WriteFile(manifest, encoded, 0o600))
	b.open()
	if got := b.store.Get(prefix + "s00000002"); got == nil || got.Sequence != 2 {
		t.Fatalf("it is %+v", got)
	}
	b.notes = nil
	must(t, b.completeAudit())
	must(t, b.completeAudit())
	if len(b.notes) != 1 || !strings.HasPrefix(b.notes[0], "snapshot.create "+prefix+"s00000002") {
		t.Errorf("the audit log gets %q", b.notes)
	}

	// A file is shorter than the manifest says: it is damaged, and not shown; its number stays taken.
	must(t, os.Truncate(filepath.Join(b.path, prefix+"s00000002", productsCSV), 5))
	b.open()
	if b.store.Get(prefix+"s00000002") != nil || b.store.damaged != 1 {
		t.Error("a damaged snapshot is shown")
	}
	if third := b.sealed(Request{}); third.ID != prefix+"s00000003" {
		t.Errorf("the next is %s", third.ID)
	}
}

func TestList(t *testing.T) {
	b := newBed(t)
	var want []string
	for range 5 {
		want = append([]string{b.sealed(Request{}).ID}, want...)
	}
	list := func(before uint64) (ids []string) {
		b.store.List(before, func(m *Manifest) bool { ids = append(ids, m.ID); return true })
		return ids
	}
	if got := list(0); !slices.Equal(got, want) {
		t.Errorf("the list is %q", got)
	}
	if got := list(3); !slices.Equal(got, want[3:]) {
		t.Errorf("the list is %q", got)
	}
	if _, _, err := b.store.Open(b.store.Get(want[0]), "manifest.json/../../POSITIONS"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is none is opened: %v", err)
	}
}

// TestPositions has a place of export catch up.
func TestPositions(t *testing.T) {
	b := newBed(t)
	m, pending, changed := b.store.Next("s3://a/b")
	if m != nil || pending != 0 {
		t.Errorf("the first to export is %v", m)
	}
	first, second := b.sealed(Request{}), b.sealed(Request{})
	<-changed
	if m, pending, _ = b.store.Next("s3://a/b"); m.ID != first.ID || pending != 2 {
		t.Errorf("the first to export is %v, of %d", m, pending)
	}
	must(t, b.store.Exported("s3://a/b", 1))
	b.open()
	if m, pending, _ = b.store.Next("s3://a/b"); m.ID != second.ID || pending != 1 {
		t.Errorf("the second to export is %v, of %d", m, pending)
	}
	if m, _, _ = b.store.Next("/mnt"); m.ID != first.ID {
		t.Errorf("the first of another place is %v", m)
	}
}

// TestMovedAway has all snapshots moved away, as docs/operating.md says: sequence and chain go on, and export does.
func TestMovedAway(t *testing.T) {
	b := newBed(t)
	b.sealed(Request{})
	second := b.sealed(Request{})
	must(t, b.store.Exported("/mnt", 2))
	moveAway := func(id string) { must(t, os.RemoveAll(filepath.Join(b.path, id))) }
	moveAway("s00000001")
	moveAway("s00000002")
	b.open()
	third := b.sealed(Request{})
	if third.ID != "s00000003" || textOf(third.Previous) != second.SHA256 {
		t.Errorf("the next is %s, after %q", third.ID, textOf(third.Previous))
	}
	if m, _, _ := b.store.Next("/mnt"); m != third {
		t.Errorf("to export is %v", m)
	}

	// Positions of before, without the check sum: what a place has is no other snapshot's number.
	older := []byte(`{"audited":3,"exported":{"/mnt":6,"/a":2}}`)
	must(t, os.WriteFile(filepath.Join(b.path, positionsName), older, 0o600))
	b.open()
	if m := b.sealed(Request{}); m.ID != "s00000007" || m.Previous != nil {
		t.Errorf("the next is %s, after %q", m.ID, textOf(m.Previous))
	}
}

func FuzzManifest(f *testing.F) {
	b := newBed(f)
	m := b.sealed(Request{})
	encoded, err := m.Encode()
	must(f, err)
	f.Add(encoded)
	f.Add([]byte(`{"id":"s00000001","sequence":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeManifest(b)
		if err != nil {
			return
		}
		once, err := m.Encode()
		must(t, err)
		again, err := decodeManifest(once)
		must(t, err)
		if twice, _ := again.Encode(); !bytes.Equal(once, twice) {
			t.Errorf("%s is read as %s", once, twice)
		}
	})
}

func FuzzPositions(f *testing.F) {
	f.Add([]byte(`{"audited":3,"exported":{"s3://a/b":2}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePositions(b)
		if err != nil {
			return
		}
		once, err := json.Marshal(p)
		must(t, err)
		if again, err := decodePositions(once); err != nil || again.Audited != p.Audited {
			t.Errorf("%s is read as %+v, %v", once, again, err)
		}
	})
}

// FuzzFocus gives lines of no sealed file to the reader that renames their members.
func FuzzFocus(f *testing.F) {
	f.Add([]byte("{\"product\":\"p1\",\"device\":\"d\"}\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		for _, name := range []string{devicesCSV, devicesNDJSON, productsCSV} {
			r, _ := FocusReader(name, bytes.NewReader(b))
			_, _ = io.Copy(io.Discard, r) // It ends, with an error or without.
		}
	})
}
