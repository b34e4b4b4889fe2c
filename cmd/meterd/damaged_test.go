package main_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// aRun waits for a directory of the archive below a data directory, flips a bit of a table in it, and returns its name.
func aRun(t *testing.T, data string) string {
	t.Helper()
	var table *os.File
	await(t, "a directory of the archive is written", func() bool {
		tables, err := filepath.Glob(filepath.Join(data, "archive", "run-*[0-9]", "*.sst"))
		if err == nil && len(tables) > 0 {
			table, err = os.OpenFile(tables[0], os.O_RDWR, 0)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // It may have been merged meanwhile.
			t.Fatal(err)
		}
		return table != nil
	})
	defer table.Close()
	b := make([]byte, 1)
	_, err := table.ReadAt(b, 40)
	if b[0] ^= 4; err == nil {
		_, err = table.WriteAt(b, 40)
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Base(filepath.Dir(table.Name()))
}

// What goes bad on a disk while a node runs is found although nobody reads it. A standby's copy is made anew; an
// owner's is, too, when another node has the cell. Nothing that was answered is lost, and nobody is refused.
func TestDamagedWhileRunning(t *testing.T) {
	if testing.Short() {
		t.Skip("the archive is waited for")
	}
	t.Parallel()
	// A directory is written every three seconds, and all are read each second.
	c := newCluster(t, "--cells", "1", "--checkpoint-every", "50ms", "--log-retention", "7m", "--scrub-every", "1s")
	c.tenDevices()
	counted := map[string]int{}
	var bad *daemon
	for _, whose := range []string{"standby", "owner"} {
		if owner, _ := c.owner(); owner == bad { // Its copy is not made anew again so soon.
			c.move((slices.Index(c.nodes, owner) + 1) % 3)
		}
		c.under(t, "the "+whose+"'s archive goes bad", counted, func(answered func(int64)) {
			owner, epoch := c.owner()
			bad = owner
			if whose == "standby" {
				bad = c.nodes[(slices.Index(c.nodes, owner)+1)%3]
			}
			cell := filepath.Join(bad.data, "cells", "00")
			before := len(bad.run.said()) // Both may be of one node: the cell moves by itself, too.
			says := func(words string) bool { return strings.Contains(bad.run.said()[before:], words) }
			dir, err := os.Stat(cell)
			if err != nil {
				t.Fatal(err)
			}
			names := []string{aRun(t, cell)}
			await(t, "the "+whose+"'s copy is found to be damaged", func() bool {
				isFound := says("in this node's copy is damaged") || !bad.run.alive()
				_, gone := os.Stat(filepath.Join(cell, "archive", names[len(names)-1]))
				if now, err := os.Stat(cell); !isFound && gone != nil && err == nil && os.SameFile(dir, now) {
					names = append(names, aRun(t, cell)) // It was merged: no new copy took its place.
				}
				return isFound
			})
			await(t, "the "+whose+"'s copy is made anew", func() bool {
				return says("directory was copied from its owner") || !bad.run.alive()
			})
			if !slices.ContainsFunc(names, says) {
				t.Errorf("%q are not named:\n%s", names, bad.run.said())
			}
			answered(20)
			now, later := c.owner()
			if whose == "owner" && now == owner && later == epoch {
				t.Errorf("the owner's copy went bad, and it owns the cell still, in epoch %s", epoch)
			}
			if whose == "standby" && strings.Contains(owner.run.said(), "the cell is handed over, since") {
				t.Errorf("a standby's copy went bad, and the owner hands the cell over:\n%s", owner.run.said())
			}
			await(t, "the "+whose+"'s node is a standby", bad.isStandby)
		})
	}
	for _, d := range c.nodes {
		d.stop()
		verify(t, filepath.Join(d.data, "cells", "00"), 0, "no difference")
	}
}

// A node alone goes on as it is, and says what is damaged.
func TestDamagedAlone(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--checkpoint-every", "50ms", "--log-retention", "14m", "--scrub-every", "1s")
	d.withProduct("p1", `{"messages_per_day":1000}`)
	d.must("POST", "/v1/products/p1/lots", `{"order":"PO","quantity":10}`, nil)
	d.must("POST", "/v1/events", line("connect", "p1", "d1"), nil)
	metrics := func() string {
		a, err := d.try("GET", "/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		return string(a.body)
	}
	if !strings.Contains(metrics(), "meterd_damaged 0\n") {
		t.Error("it begins damaged")
	}
	name := aRun(t, d.data) // It is alone in its span, and is not merged for a minute or two.
	await(t, "it is told", func() bool { return strings.Contains(metrics(), "meterd_damaged 1\n") })
	a, err := d.try("GET", "/readyz?verbose", nil)
	said := string(a.body)
	if err != nil || a.status != 200 || !strings.Contains(said, "DAMAGED") || !strings.Contains(said, name) {
		t.Errorf("%v: %d %s", err, a.status, a.body)
	}
	await(t, "the log names "+name, func() bool { return strings.Contains(d.run.said(), name) || !d.run.alive() })
	d.must("POST", "/v1/events", line("up", "p1", "d1"), nil)
	to := filepath.Join(t.TempDir(), "backup")
	if code, said := tool(t, d.backupArgs(to)...); code != 1 || !strings.Contains(said, "the backup is made, but") ||
		!strings.Contains(said, name) {
		t.Errorf("backup exited with %d:\n%s", code, said)
	}
	code, said := tool(t, "restore", "--from", to, "--data", filepath.Join(t.TempDir(), "restored"))
	if code != 0 || !strings.Contains(said, "DAMAGED") || !strings.Contains(said, name) {
		t.Errorf("restore exited with %d:\n%s", code, said)
	}
	if n := strings.Count(d.run.said(), "something on the disk is damaged"); n != 1 {
		t.Errorf("one directory is told %d times:\n%s", n, d.run.said())
	}
	if _, err := os.Stat(filepath.Join(d.data, "archive", name)); err != nil {
		t.Error(err)
	}
}
