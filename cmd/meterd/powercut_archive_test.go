package main_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/powercut"
)

// TestPowerCutWhileArchiving cuts the power at changes that the archive makes to the disk: a directory is loaded,
// synced, named, the manifest replaced, an old one removed. What was acknowledged and is younger than the retention is
// read after each, once.
func TestPowerCutWhileArchiving(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE, and a minute")
	}
	t.Parallel()
	n := seed(t)
	dice := newDice(n, 0)
	r := newBareRig(t, powercut.Options{})
	r.d.kill()
	r.d.flags = append(r.d.flags, "--log-retention", "14s") // A span is two seconds, a run one.
	r.d.start()
	r.tr = newTraffic(r.d, n)
	r.tr.readable = 9 * time.Second
	r.tr.pace = 60 * time.Millisecond
	r.tr.prepare()
	const cuts = 16
	within, at := map[string]int{}, map[string]int{}
	for range cuts {
		r.tr.begin()
		r.tr.answered(5)
		r.tr.ending()
		if err := r.disk.CutAfter(1+dice.Uint64N(80), "data/archive", dice.Uint64()|1); err != nil {
			t.Fatal(err)
		}
		r.awaitCut()
		if err := r.disk.CutKeeping(dice.Uint64() | 1); err != nil {
			t.Fatal(err)
		}
		r.d.kill()
		r.tr.wait()
		at[strings.TrimRight(filepath.Base(r.disk.CutAt()), "0123456789 ")]++
		r.mount(weather(dice))
		for path := range r.d.unfinished() {
			within[filepath.Ext(path)]++
		}
		r.d.start()
		r.tr.check()
		r.ledgerIsWhole()
	}
	r.tr.report(t)
	t.Logf("%d cuts at %v left %v", cuts, at, within)
	if within[".tmp"] == 0 {
		t.Error("no cut fell into the writing of a directory")
	}
	r.d.stop()
	if err := r.disk.Unmount(); err != nil {
		t.Fatal(err)
	}
}

// awaitCut waits until a cut that was ordered has come: nobody is answered any more.
func (r *rig) awaitCut() {
	r.t.Helper()
	quiet := time.NewTimer(patience)
	defer quiet.Stop()
	ended := make(chan struct{})
	go func() {
		r.tr.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-r.d.run.exited:
	case <-quiet.C:
		r.t.Fatal("the archive has changed nothing for a minute")
	}
}
