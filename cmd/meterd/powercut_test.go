package main_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/powercut"
)

// kill -9 leaves every write in the kernel, so it proves no sync. Here the data directory lies on a file system that
// keeps what was synced and nothing else (package bench/powercut says why that is honest). The cut takes the disk away
// first, while the daemon works and would go on answering, and only then the daemon.

// rig is a daemon on a disk that can be cut.
type rig struct {
	t     *testing.T
	lower string // what survives
	disk  *powercut.FS
	d     *daemon
	tr    *traffic
	keeps *rand.Rand // draws what of the unsynced survives a cut; nil: nothing
	syncs uint64
}

// newRig is a rig with traffic.
func newRig(t *testing.T, n uint64, o powercut.Options) *rig {
	t.Helper()
	r := newBareRig(t, o)
	r.tr = newTraffic(r.d, n)
	r.tr.writers, r.tr.pace = 4, 5*time.Millisecond
	r.tr.prepare()
	return r
}

// newBareRig is a rig whose daemon runs.
func newBareRig(t *testing.T, o powercut.Options) *rig {
	t.Helper()
	if err := powercut.Available(); err != nil {
		t.Fatalf("%v: run `make tools` (fuse3) on a machine with /dev/fuse, or leave this test out with -short", err)
	}
	r := &rig{t: t, lower: t.TempDir()}
	r.d = daemonAt(t, "", "--checkpoint-every", "100ms")
	r.mount(o)
	r.d.start()
	return r
}

// weather is a disk that writes early and may not know fallocate.
func weather(dice *rand.Rand) powercut.Options {
	return powercut.Options{Seed: dice.Uint64() | 1, NoFallocate: dice.IntN(2) == 0}
}

// mount puts a fresh mount of the surviving directory under the daemon.
func (r *rig) mount(o powercut.Options) {
	r.t.Helper()
	r.disk = powercut.MountT(r.t, r.lower, o)
	r.d.data = filepath.Join(r.disk.Mountpoint(), "data")
}

// cut is the power cut after a while of traffic.
func (r *rig) cut(while time.Duration) {
	r.t.Helper()
	timer := time.NewTimer(while)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.d.run.exited:
		r.t.Fatalf("the daemon ended before the cut:\n%s", r.d.run.said())
	}
	if s, err := r.disk.Stats(); err != nil {
		r.t.Fatal(err)
	} else if r.syncs += s.FileSyncs; s.Refused > 0 {
		r.t.Fatalf("the disk refused %d writes for want of memory", s.Refused)
	}
	r.tr.ending()
	end := r.disk.Cut
	if r.keeps != nil {
		end = func() error { return r.disk.CutKeeping(r.keeps.Uint64() | 1) }
	}
	if err := end(); err != nil {
		r.t.Fatal(err)
	}
	r.d.kill()
	r.tr.wait()
}

// ledgerIsWhole fails the test if the ledger had to be built again: the log may not reach back so far.
func (r *rig) ledgerIsWhole() {
	r.t.Helper()
	if strings.Contains(r.d.run.said(), "ledger is damaged") {
		r.t.Errorf("after a power cut the ledger cannot be opened:\n%s", r.d.run.said())
	}
}

// TestPowerCut cuts the power twenty times in the middle of traffic, and five times more while the daemon recovers from
// a cut: every acknowledged event and credit is back each time, and none that nobody sent. The disk also writes early
// what it was not asked to, and each cut keeps an arbitrary part of the rest.
func TestPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE, and a minute")
	}
	t.Parallel()
	n := seed(t)
	dice := newDice(n, 0)
	r := newRig(t, n, powercut.Options{Seed: n | 1})
	r.keeps = newDice(n, 1)
	cuts, recoveries := 20, 0
	for cut := range cuts {
		r.tr.begin()
		r.tr.answered(10)
		r.cut(time.Duration(dice.Int64N(int64(400 * time.Millisecond))))
		if cut%4 == 3 {
			r.mount(weather(dice))
			r.d.launch()
			r.cut(time.Duration(dice.Int64N(int64(60 * time.Millisecond))))
			recoveries++
		}
		r.mount(weather(dice))
		r.d.start()
		r.tr.check()
		r.ledgerIsWhole()
	}
	r.tr.report(t)
	t.Logf("%d cuts in traffic, %d in recovery, %d syncs", cuts, recoveries, r.syncs)
	r.d.stop()
	if err := r.disk.Unmount(); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCutWithoutSyncs is the counter-proof: on a disk that answers syncs and keeps nothing, the very same cut must
// lose what was acknowledged. If it did not, TestPowerCut would prove nothing.
func TestPowerCutWithoutSyncs(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE")
	}
	t.Parallel()
	n := seed(t)
	r := newRig(t, n, powercut.Options{})
	r.tr.begin()
	r.tr.answered(20)
	r.cut(0)
	r.mount(powercut.Options{})
	r.d.start()
	r.tr.check() // An honest disk loses nothing.
	before := r.tr.sums
	r.d.stop()
	if err := r.disk.Unmount(); err != nil {
		t.Fatal(err)
	}

	r.mount(powercut.Options{IgnoreSync: true})
	r.d.start()
	r.tr.begin()
	r.tr.answered(50)
	r.cut(0)
	r.mount(powercut.Options{})
	if err := r.d.tryStart(); err != nil {
		t.Fatalf("after the cut everything is as before it was mounted, so it must start: %v", err)
	}
	faults := r.tr.faults()
	lost := 0
	for _, f := range faults {
		if len(f) > 4 && f[len(f)-4:] == "lost" {
			lost++
		}
	}
	acknowledged := r.tr.sums.acknowledged + r.tr.sums.denied - before.acknowledged - before.denied
	if lost < acknowledged || acknowledged == 0 {
		t.Errorf("of %d events acknowledged on a disk without syncs %d are lost: all must be", acknowledged, lost)
	}
	t.Logf(
		"with syncs ignored %d events were acknowledged, and %d events and credits lost, as must be",
		acknowledged,
		lost,
	)
}

// TestPowerCutAtFirstStart cuts while the very first start is under way: the next one makes a daemon whose token works.
func TestPowerCutAtFirstStart(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE")
	}
	t.Parallel()
	if err := powercut.Available(); err != nil {
		t.Fatalf("%v: run `make tools`", err)
	}
	n := seed(t)
	dice := newDice(n, 0)
	const cuts = 8
	early := 0
	for range cuts {
		r := &rig{t: t, lower: t.TempDir(), d: daemonAt(t, ""), keeps: dice}
		r.tr = newTraffic(r.d, n)
		r.mount(weather(dice))
		r.d.launch()
		r.cut(time.Duration(dice.Int64N(int64(120 * time.Millisecond))))
		if _, err := os.Stat(filepath.Join(r.lower, "data", "VERSION")); err != nil {
			early++
		}
		r.mount(powercut.Options{})
		r.d.start()
		if err := r.d.readToken(); err != nil {
			t.Fatal(err)
		}
		r.d.withProduct("p1", `{}`)
		if got := fmt.Sprint(r.d.batch(line("connect", "p1", "d1"), line("up", "p1", "d1"))); got != "[accepted accepted]" {
			t.Error(got)
		}
		r.d.stop()
		if err := r.disk.Unmount(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d cuts, %d of them before the directory was finished", cuts, early)
}
