package main

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/meterd/meterd/retention/disk"
)

// A port of a cell that is busy, or that is none, is named when the node starts.
func TestCellPortsAreTried(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() }) // Nobody uses it.
	at := busy.Addr().(*net.TCPAddr).Port
	n := &node{o: &serveOptions{listen: "127.0.0.1:8480"}}
	for _, c := range []struct {
		flag  string
		cells int
		want  string
	}{
		{"127.0.0.1:" + strconv.Itoa(at), 1, "the server of cell 0 could not listen"},
		{"127.0.0.1:65530", 12, "12 cells need ports up to 65541"},
		{"192.0.2.1:21990", 1, "free this port, or name others"},
		{"", 12, ""},
	} {
		n.o.cluster.cellsListen = c.flag
		err := n.tryCells(c.cells)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: got %v, want %q", c.flag, err, c.want)
		}
	}
	for _, flag := range []string{"127.0.0.1", "127.0.0.1:0", "127.0.0.1:http", "127.0.0.1:65536"} {
		if _, _, err := cellsFrom(flag); err == nil {
			t.Errorf("%q is taken", flag)
		}
	}
}

// Before a node is one of the cluster its directory says how many cells there are at least, or else its flags.
func TestCellsAhead(t *testing.T) {
	dir, err := disk.OpenNode(t.TempDir(), disk.NodeName{Cluster: "c", Node: "n1"}, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &node{o: &serveOptions{}, dir: dir}
	wants := func(want int) {
		t.Helper()
		if got := n.cellsAhead(); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	wants(1)
	n.o.cluster.cells = 4
	wants(4)
	if err := os.MkdirAll(dir.CellPath(11), 0o700); err != nil {
		t.Fatal(err)
	}
	wants(12)
}
