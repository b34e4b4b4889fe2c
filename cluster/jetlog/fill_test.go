package jetlog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
)

// filesWith returns the files below dir that hold what is looked for. One that goes meanwhile does not.
func filesWith(t *testing.T, dir string, sought []byte) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var content []byte
			if content, err = os.ReadFile(path); bytes.Contains(content, sought) {
				found = append(found, path)
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// What is purged behind a filling leaves all files of all servers, and nothing does without one.
func TestFillEmptiesFiles(t *testing.T) {
	list, dirs := startServersIn(t, 3)
	j, id := connect(t, list[0].Conn(), testSettings(3))
	l := claim(t, j, id, "n1")
	secret := make([]byte, 600)
	rand.Read(secret)
	appends := func(head []byte) {
		t.Helper()
		seq, _, _ := l.Last()
		if err := l.Append(&commitlog.Group{Seq: seq + 1, FirstMs: 1, LastMs: 1, Head: head}); err != nil {
			t.Fatal(err)
		}
	}
	barrier := func() {
		t.Helper()
		if err := l.Barrier(); err != nil {
			t.Fatal(err)
		}
	}
	found := func() (all []string) {
		for _, dir := range dirs {
			all = append(all, filesWith(t, dir, secret)...)
		}
		return all
	}
	appends([]byte("before"))
	appends(secret)
	barrier()
	if err := j.Purge(t.Context(), l.Message()); err != nil {
		t.Fatal(err)
	}
	if all := found(); len(all) == 0 {
		t.Fatal("it is in no file, so a search proves nothing")
	}
	for j.Fill(); j.Filled() == 0; {
		barrier()
	}
	if err := j.Purge(t.Context(), j.Filled()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for all := found(); len(all) > 0; all = found() {
		if time.Now().After(deadline) {
			t.Fatalf("it is still in %q", all)
		}
		barrier() // As an owner does each second.
	}
	appends([]byte("behind"))
	size, err := j.Size(t.Context())
	if err != nil || size.Bytes > FillBytes {
		t.Fatalf("%+v, %v", size, err)
	}
	if !slices.Equal(found(), nil) {
		t.Fatal("it came back")
	}
}
