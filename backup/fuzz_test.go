package backup

import (
	"bytes"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/ledger"
)

// FuzzManifest: whatever is read as a manifest is written as it was, and names nothing outside of its directory.
func FuzzManifest(f *testing.F) {
	b := newBed(f)
	_, m := b.stream()
	whole, err := m.encode()
	must(f, err)
	f.Add(whole)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decodeManifest(data)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("it is written as %q: %v", again, err)
		}
		for _, file := range m.Files {
			if at := filepath.Join("/data", filepath.FromSlash(file.Name)); !strings.HasPrefix(at, "/data/") {
				t.Errorf("it leads to %q", at)
			}
		}
	})
}

// FuzzName: a name that is allowed stays within the directory.
func FuzzName(f *testing.F) {
	for _, name := range []string{
		"log/segment-1", "archive/run-1/000001.sst", "VERSION", "../x", "ledger/rows-1/x", "log//x",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if checkName(name) == nil && (path.Clean("/"+name) != "/"+name || strings.Contains("/"+name+"/", "/../")) {
			t.Errorf("%q is allowed", name)
		}
	})
}

// FuzzRows: what is read as rows is written the same way, with shorter lengths at most.
func FuzzRows(f *testing.F) {
	f.Add(appendRow(appendRow(nil, ledger.Entry{Key: []byte("k"), Value: []byte("v"), UntilMs: 5000}), ledger.Entry{
		Key: []byte("l"),
	}))
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, data []byte) {
		var again []byte
		n := 0
		if err := readRows(bytes.NewReader(data), func(e ledger.Entry) error {
			again = appendRow(again, e)
			n++
			return nil
		}); err != nil {
			return
		}
		m := 0
		err := readRows(bytes.NewReader(again), func(ledger.Entry) error { m++; return nil })
		if err != nil || n != m || len(again) > len(data) {
			t.Errorf("%d rows are %d when they are written and read: %v", n, m, err)
		}
	})
}
