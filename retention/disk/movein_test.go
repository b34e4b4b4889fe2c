package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// aDaemons makes the directory of a daemon that was alone.
func aDaemons(t *testing.T) (path string, seed [16]byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "data")
	d, err := OpenDir(DirOptions{Path: path, Region: "eu", Space: SpaceOptions{BallastBytes: 1 << 20, OpenBytes: 1 << 10}})
	if err != nil {
		t.Fatal(err)
	}
	seed = d.HashSeed()
	err = os.WriteFile(filepath.Join(d.LogPath(), "segment"), []byte("groups"), 0o600)
	if err := errors.Join(err, os.WriteFile(filepath.Join(path, "admin.token"), nil, 0o600), d.Close()); err != nil {
		t.Fatal(err)
	}
	return path, seed
}

// TestMoveIn cuts moving in short at every step: neither a daemon that is alone nor a node without the flag takes what
// is half moved for another directory, and the next start completes it.
func TestMoveIn(t *testing.T) {
	steps := []string{"VERSION", "IDENTITY", "BALLAST", "log", "archive", "ledger", "checkpoint", "snapshots", "webhooks"}
	for done := range len(steps) + 1 {
		path, seed := aDaemons(t)
		if _, err := OpenNode(path, NodeName{"c", "n1"}, false); err == nil || !strings.Contains(err.Error(), "--move-in") {
			t.Fatalf("a daemon's directory is answered %v", err)
		}
		moving := filepath.Join(path, "cells", "00.moving")
		if done > 0 {
			if err := os.MkdirAll(moving, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(moving, movedFile), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range steps[:done] {
			if err := os.Rename(filepath.Join(path, name), filepath.Join(moving, name)); err != nil {
				t.Fatal(err)
			}
		}
		if done > 0 {
			if _, err := OpenDir(DirOptions{Path: path, Region: "eu"}); err == nil {
				t.Fatalf("behind %d steps a daemon that is alone takes what is left", done)
			}
		}
		n, err := OpenNode(path, NodeName{"c", "n1"}, done == 0) // Once it has begun it goes on.
		if err != nil {
			t.Fatalf("behind %d steps: %v", done, err)
		}
		if moved, err := n.MovedIn(); !moved || err != nil {
			t.Errorf("behind %d steps it was not moved in: %v", done, err)
		}
		if got, err := SeedOf(n.CellPath(0)); got != seed || err != nil {
			t.Errorf("behind %d steps the seed is %x, %v", done, got, err)
		}
		d, err := OpenDir(DirOptions{Path: n.CellPath(0), Region: "eu", Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(d.LogPath(), "segment")); string(b) != "groups" {
			t.Errorf("behind %d steps the log is %q, %v", done, b, err)
		}
		if _, err := os.Stat(filepath.Join(path, "admin.token")); err != nil {
			t.Error(err)
		}
		if err := errors.Join(d.Close(), n.Settle(), n.Settle()); err != nil {
			t.Fatal(err)
		}
		if moved, err := n.MovedIn(); moved || err != nil {
			t.Errorf("it is settled, and moved in still: %v", err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err = OpenNode(path, NodeName{"c", "n1"}, true); err != nil {
			t.Fatal(err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
