package board

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func at(group uint64) *CellStatus {
	return &CellStatus{
		Cell: 1, Role: Standby, Stream: Bytes16{7}, Copy: "c1", Epoch: 2, Group: group, Chain: Bytes16{byte(group)},
		Message: group + 10, Erased: group + 5,
	}
}

func TestPositionsGrow(t *testing.T) {
	p := newPositions()
	p.take("n1", at(10))
	if p.take("n1", at(9)) {
		t.Fatal("a position went back")
	}
	if p.take("n1", at(10)) {
		t.Fatal("the same position is news")
	}
	copied := at(4)
	copied.Role = Reseeding
	if p.take("n1", copied) {
		t.Fatal("what is copied counts before it is whole")
	}
	emptied := at(3)
	emptied.Copy = "c2"
	p.take("n1", emptied)
	if of := p.Of(1); len(of) != 1 || of[0].Group != 3 || of[0].Erased != 8 {
		t.Fatal(of)
	}
	if l, ok := p.Longest(1, Bytes16{7}); !ok || l.Group != 10 || l.Copy != "c1" {
		t.Fatalf("what an emptied copy had is forgotten: %+v", l)
	}
	anew := at(1)
	anew.Stream = Bytes16{8}
	p.take("n2", anew)
	if _, ok := p.Longest(1, Bytes16{7}); ok {
		t.Fatal("a stream that was begun anew has the length of the one before")
	}
}

func TestPositionsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "positions")
	p := newPositions()
	p.take("n1", at(10))
	emptied := at(3)
	emptied.Copy = "c2"
	p.take("n1", emptied)
	p.take("n2", at(12))
	content, err := p.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := writePositions(path, content); err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	if got := readPositions(path, logger); !reflect.DeepEqual(got, p) {
		t.Fatalf("%+v, not %+v", got, p)
	}
	for i := range content {
		bad := bytes.Clone(content)
		bad[i] ^= 4
		if _, err := decodePositions(bad); err == nil {
			t.Fatalf("byte %d is flipped, and nobody says so", i)
		}
	}
	if err := os.WriteFile(path, content[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	if got := readPositions(path, logger); len(got.newest) != 0 {
		t.Fatal(got)
	}
}

func TestCopyNameBelongsToDirectory(t *testing.T) {
	dir := t.TempDir()
	name, err := CopyName(dir)
	if err != nil || len(name) != 16 {
		t.Fatal(name, err)
	}
	if again, err := CopyName(dir); err != nil || again != name {
		t.Fatal(again, err)
	}
	if other, err := CopyName(t.TempDir()); err != nil || other == name {
		t.Fatal(other, err)
	}
	if err := os.WriteFile(filepath.Join(dir, copyFile), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CopyName(dir); err == nil {
		t.Fatal("a damaged name is taken")
	}
}

func FuzzPositions(f *testing.F) {
	p := newPositions()
	p.take("n1", at(10))
	p.meet(Server{"n1", "n1-1", "A"})
	p.forget(Forgotten{Server: Server{"n2", "n2-1", "B"}, AtMs: 1, Gone: true}, Server{})
	content, err := p.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePositions(b)
		if err != nil {
			return
		}
		again, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodePositions(again)
		if err != nil {
			t.Fatal(err)
		}
		// Compared as text: an empty list and none are written alike.
		if twice, err := got.encode(); err != nil || !bytes.Equal(twice, again) {
			t.Fatalf("%s, not %s: %v", twice, again, err)
		}
	})
}

func FuzzRecalled(f *testing.F) {
	f.Add([]byte(`[{"cell":1,"node":"n1","stream":"00000000000000000000000000000000","copy":"c","group":4}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeRecalled(b)
		for _, p := range list {
			if err == nil && (p.Cell < 0 || p.Cell >= cellsMax || ValidName(p.Node) != nil) {
				t.Fatal(p)
			}
		}
	})
}
