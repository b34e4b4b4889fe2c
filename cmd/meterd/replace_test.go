package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/meterd/meterd/cluster/board"
)

// A copy that cannot take the place of the cell's directory leaves that one whole, and open.
func TestNotReplaced(t *testing.T) {
	data := filepath.Join(t.TempDir(), "00")
	c := &cellCopy{o: &serveOptions{data: data, region: "eu"}, logger: slog.New(slog.DiscardHandler)}
	c.more.failed = func(err error) { t.Error(err) }
	if err := c.openDir(); err != nil {
		t.Fatal(err)
	}
	name := c.copyName
	if err := c.replace(data+newSuffix, false); err == nil {
		t.Fatal("a directory that is not there has taken its place")
	}
	if c.dir == nil || c.copyName != name {
		t.Fatalf("the cell's directory is not open again: copy %q, not %q", c.copyName, name)
	}
	if _, err := os.Stat(data + damagedSuffix); !os.IsNotExist(err) {
		t.Error(err)
	}
	var failed error
	c.more.failed = func(err error) { failed = err }
	if err := os.WriteFile(filepath.Join(data, "VERSION"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.replace(data+newSuffix, false); err == nil || failed == nil {
		t.Errorf("%v, and the node fails with: %v", err, failed)
	}
	if err := c.closeDir(); err != nil {
		t.Error(err)
	}
}

// The longest copy is one that is open: it tells a stream.
func TestLongestCopy(t *testing.T) {
	node := func(name, state string, c board.CellStatus) board.Status {
		return board.Status{Node: name, State: state, Cells: []board.CellStatus{c}}
	}
	stream := board.Bytes16{1}
	nodes := []board.Status{
		node("n1", board.Ready, board.CellStatus{}),
		node("n2", board.Ready, board.CellStatus{Stream: stream, Group: 5}),
		node("n3", board.Ready, board.CellStatus{Stream: stream, Group: 6}),
		node("n4", board.Silent, board.CellStatus{Stream: stream, Group: 7}),
		node("n5", board.Ready, board.CellStatus{Stream: stream, Group: 8, Role: board.Reseeding}),
	}
	if c, at := longestCopy(nodes, 0); at != "n3" || c.Group != 6 {
		t.Errorf("%q with %+v", at, c)
	}
	if c, at := longestCopy(nodes[:1], 0); at != "" {
		t.Errorf("%q, which is closed, with %+v", at, c)
	}
}
