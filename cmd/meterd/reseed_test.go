package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A copy of a cell whose disk was damaged, or emptied, is noticed and named when its node starts, and made anew from
// the owner's while events go on. Then it owns the cell, and has everything.
func TestReseed(t *testing.T) {
	if testing.Short() {
		t.Skip("owners are waited for, several times")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "1", "--checkpoint-every", "50ms")
	c.tenDevices()
	counted := map[string]int{}
	for _, damage := range []struct {
		what  string
		named string // in the log of the node
		do    func(cell string)
	}{
		{"a flipped byte in a segment", "segment-", func(cell string) {
			segments, err := filepath.Glob(filepath.Join(cell, "log", "segment-*"))
			if err != nil || len(segments) == 0 {
				t.Fatal(segments, err)
			}
			slices.Sort(segments)
			b, err := os.ReadFile(segments[0])
			if err != nil {
				t.Fatal(err)
			}
			b[4096+300] ^= 1
			if err := os.WriteFile(segments[0], b, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{"a checkpoint that is cut off", "checkpoint-", func(cell string) {
			checkpoints, err := filepath.Glob(filepath.Join(cell, "checkpoint", "checkpoint-*"))
			if err != nil || len(checkpoints) == 0 {
				t.Fatal(checkpoints, err)
			}
			for _, name := range checkpoints {
				if err := os.Truncate(name, 40); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"an archive without its manifest", "archive", func(cell string) {
			if err := os.Remove(filepath.Join(cell, "archive", "MANIFEST")); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Join(cell, "archive", "run-99"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"a flipped bit in what the directory is, and in which stream it follows", "", func(cell string) {
			for _, name := range []string{"IDENTITY", "STREAM"} {
				change(t, filepath.Join(cell, name), 30, func(b []byte) { b[0] ^= 1 })
			}
		}},
		{"an emptied directory", "", func(cell string) {
			if err := os.RemoveAll(cell); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		var standby *daemon
		c.under(t, damage.what, counted, func(answered func(int64)) {
			owner, _ := c.owner()
			standby = c.nodes[(slices.Index(c.nodes, owner)+1)%3]
			standby.stop()
			damage.do(filepath.Join(standby.data, "cells", "00"))
			answered(20)
			standby.launch()
			if err := standby.awaitReady(); err != nil {
				t.Fatal(err)
			}
			answered(20)
			if damage.named == "" {
				return
			}
			await(t, damage.what+": it is made anew", func() bool {
				return strings.Contains(standby.run.said(), "directory was copied from its owner") || !standby.run.alive()
			})
		})
		said := standby.run.said()
		if damage.named != "" {
			i := strings.Index(said, "this node's copy is made anew")
			if i < 0 || !strings.Contains(said[i:], damage.named) {
				t.Fatalf("%s is not named:\n%s", damage.what, said)
			}
			kept, err := os.ReadDir(filepath.Join(standby.data, "cells", "00.damaged"))
			if err != nil || len(kept) == 0 {
				t.Errorf("%s: what was damaged is not kept: %v\n%s", damage.what, err, said)
			}
			if _, err := os.Stat(filepath.Join(standby.data, "cells", "00", "STREAM")); err != nil {
				t.Errorf("%s: the new copy does not know its stream: %v", damage.what, err)
			}
		}
		// It takes over, and has everything.
		c.under(t, damage.what+", and it is left alone to own the cell", counted, func(answered func(int64)) {
			for range 10 {
				owner, _ := c.owner()
				if owner == standby {
					return
				}
				owner.stop()
				answered(10)
				owner.start()
			}
			t.Fatal("it never owns the cell")
		})
	}
	// A cell is backed up through any node, and becomes a daemon that is alone.
	to := filepath.Join(t.TempDir(), "backup")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(c.nodes[0].token), 0o600); err != nil {
		t.Fatal(err)
	}
	c.move(0) // It is the first in line for the cell: nobody else asks for it in the middle of a backup.
	asked := 0
	await(t, "a backup is made", func() bool { // The node that is asked may not have heard yet who owns the cell.
		asked++
		code, said := tool(t, "backup", "--url", "http://"+c.nodes[asked%3].run.address, "--token-file", token, "--to", to)
		if code != 0 && !strings.Contains(said, "overloaded") {
			t.Fatalf("backup exited with %d:\n%s", code, said)
		}
		return code == 0
	})
	alone := daemonAt(t, filepath.Join(t.TempDir(), "alone"))
	alone.token = c.nodes[0].token
	if code, said := tool(t, "restore", "--from", to, "--data", alone.data); code != 0 {
		t.Fatalf("restore exited with %d:\n%s", code, said)
	}
	verify(t, alone.data, 0, "no difference")
	alone.start()
	for device, want := range counted {
		var v deviceView
		if alone.must("GET", "/v1/products/"+device, "", &v); int(v.Messages.Up) != want {
			t.Errorf("%d messages of %s were answered, %d are counted alone", want, device, v.Messages.Up)
		}
	}
	for _, d := range c.nodes {
		d.stop()
		verify(t, filepath.Join(d.data, "cells", "00"), 0, "no difference")
	}
}

// tenDevices makes a product p1, of which ten devices are connected.
func (c *cluster) tenDevices() {
	c.t.Helper()
	for _, call := range [][2]string{
		{"/v1/accounts", `{"account":"p1","kind":"enterprise"}`},
		{
			"/v1/products",
			fmt.Sprintf(`{"product":"p1","account":"p1","time_zone":%q,"plan":{"messages_per_day":1000000}}`, noon()),
		},
		{"/v1/products/p1/lots", `{"order":"PO","quantity":10}`},
	} {
		c.make(0, call[0], call[1])
	}
	for i := range 10 {
		c.anybody(i, "POST", "/v1/events", line("connect", "p1", fmt.Sprintf("d%d", i)))
	}
}
