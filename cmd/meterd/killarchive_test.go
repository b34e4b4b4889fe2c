package main_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestKillWhileArchiving is kill -9 twenty times while a directory of the archive is written, and twenty times while
// one is removed. What is younger than the retention is read each time, once; nothing that was begun or half removed
// stays.
func TestKillWhileArchiving(t *testing.T) {
	t.Parallel()
	rounds := 20
	if testing.Short() {
		rounds = 2
	}
	n := seed(t)
	dice := newDice(n, 0)
	d := newDaemon(t, "--checkpoint-every", "200ms", "--log-retention", "14s") // A span is two seconds, a run one.
	tr := newTraffic(d, n)
	tr.readable = 9 * time.Second
	tr.pace = 60 * time.Millisecond
	tr.prepare()
	left := map[string]int{}
	for range rounds {
		for _, what := range []string{".tmp", ".removing"} {
			tr.begin()
			tr.answered(5)
			d.awaitInArchive(what)
			tr.killAfter(time.Duration(dice.Int64N(int64(15 * time.Millisecond))))
			before := d.unfinished()
			for path := range before {
				left[filepath.Ext(path)]++
			}
			began := time.Now()
			d.start()
			for path, changed := range d.unfinished() { // A directory that it removes now was changed long ago.
				if _, is := before[path]; is && changed.Before(began) {
					t.Errorf("%s is still there after the start", path)
				}
			}
			tr.check()
		}
	}
	tr.report(t)
	t.Logf("left by %d kills: %v", 2*rounds, left)
	if left[".tmp"] == 0 {
		t.Error("no kill fell into the writing of a directory")
	}
	d.kill()
	verify(t, d.data, 0, "no difference")
}

// unfinished returns the directories of the archive that are being written or removed, and when each was changed last.
func (d *daemon) unfinished() map[string]time.Time {
	d.t.Helper()
	found := map[string]time.Time{}
	for _, end := range []string{".tmp", ".removing"} {
		names, err := filepath.Glob(filepath.Join(d.data, "archive", "*-*"+end))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, name := range names {
			if info, err := os.Lstat(name); err == nil { // It may go meanwhile.
				found[name] = info.ModTime()
			}
		}
	}
	return found
}

// awaitInArchive waits for a directory whose name ends so. It looks often: one is there for some milliseconds.
func (d *daemon) awaitInArchive(end string) {
	d.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); time.Now().Before(until); <-tick.C {
		for path := range d.unfinished() {
			if filepath.Ext(path) == end {
				return
			}
		}
	}
	d.t.Fatalf("no directory of the archive ends with %q", end)
}
