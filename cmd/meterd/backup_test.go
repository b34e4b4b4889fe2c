package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/powercut"
)

// tool runs a command of the binary to its end and returns its exit status and what it said.
func tool(t testing.TB, args ...string) (code int, said string) {
	t.Helper()
	r, err := launch(nil, args...)
	if err != nil {
		t.Fatal(err)
	}
	<-r.exited
	return r.cmd.ProcessState.ExitCode(), r.stdout.String() + r.stderr.String()
}

// backup runs meterd backup, which must succeed.
func (d *daemon) backup(to string) {
	d.t.Helper()
	if code, said := tool(d.t, d.backupArgs(to)...); code != 0 {
		d.t.Fatalf("backup exited with %d:\n%s\n%s", code, said, d.run.said())
	}
}

func (d *daemon) backupArgs(to string) []string {
	return []string{
		"backup", "--url", "http://" + d.run.address, "--token-file", filepath.Join(d.data, "admin.token"), "--to", to,
	}
}

// restored makes a data directory of a backup and returns a daemon on it, not started.
func (d *daemon) restored(from string) *daemon {
	d.t.Helper()
	r := daemonAt(d.t, filepath.Join(d.t.TempDir(), "restored"), d.flags...)
	if code, said := tool(d.t, "restore", "--from", from, "--data", r.data); code != 0 {
		d.t.Fatalf("restore exited with %d:\n%s", code, said)
	}
	r.token = d.token
	return r
}

// load sends batches of one product under sequences until stop is called; last is the newest that was answered.
func (d *daemon) load(product string) (last *atomic.Int64, answers func(int64) string, stop func()) {
	last = &atomic.Int64{}
	bodies := make(chan string, 1<<16)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(bodies)
		for n := int64(1); n < 1<<16; n++ {
			a, err := d.try("POST", "/v1/events", []byte(loadBody(product, n)), "Content-Type", asNDJSON,
				"Meterd-Producer", "load", "Meterd-Sequence", fmt.Sprint(n))
			if err != nil || a.status != 200 {
				return
			}
			bodies <- string(a.body)
			last.Store(n)
			select {
			case <-end:
				return
			default:
			}
		}
	}()
	all := []string{""}
	answers = func(n int64) string {
		for int64(len(all)) <= n {
			all = append(all, <-bodies)
		}
		return all[n]
	}
	return last, answers, func() { close(end); <-ended }
}

func loadBody(product string, n int64) string {
	var lines []string
	for i := range 50 {
		lines = append(lines, line("up", product, fmt.Sprintf("d%d", (n+int64(i))%20)))
	}
	return strings.Join(lines, "\n")
}

// TestBackup backs up a daemon that decides all the time, restores, and compares: what was acknowledged before the
// call is there, also to the retries of a gateway; the recount finds no difference before and after a daemon went on.
func TestBackup(t *testing.T) {
	t.Parallel()
	d := newDaemon(t, "--checkpoint-every", "50ms")
	tr := newTraffic(d, seed(t))
	tr.pace = 5 * time.Millisecond
	tr.prepare()
	tr.begin()
	tr.answered(60)
	tr.wait()
	d.withProduct("load", `{"messages_per_day":1000000}`)
	d.credit("load", "LOT", 100)
	for i := range 20 {
		d.batch(line("connect", "load", fmt.Sprintf("d%d", i)))
	}
	d.must("POST", "/v1/snapshots", `{}`, nil)
	if a := d.ask("GET", "/v1/backup", ""); a.status != 200 || !strings.Contains(string(a.body), `"format": 1`) {
		t.Errorf("a backup is answered %d with %d bytes", a.status, len(a.body))
	}
	last, answers, stop := d.load("load")
	defer stop()
	for round := range 3 {
		await(t, "the load is answered", func() bool { return last.Load() > int64(20*(round+1)) || !d.run.alive() })
		noted := last.Load()
		to := filepath.Join(t.TempDir(), "backup")
		d.backup(to)
		if code, said := tool(t, d.backupArgs(to)...); code != 1 || !strings.Contains(said, "is not empty") {
			t.Fatalf("a place that is not empty is answered %d:\n%s", code, said)
		}
		r := d.restored(to)
		verify(t, r.data, 0, "no difference", "snapshots    1")
		if code, said := tool(
			t,
			"restore",
			"--from",
			to,
			"--data",
			r.data,
		); code != 1 ||
			!strings.Contains(said, "is not empty") {
			t.Fatalf("a directory that is not empty is answered %d:\n%s", code, said)
		}
		r.start()
		var known struct {
			Last   int64 `json:"last_sequence"`
			Oldest int64 `json:"oldest_remembered"`
		}
		r.must("GET", "/v1/producers/load", "", &known)
		if known.Last < noted {
			t.Errorf("the newest batch of the load is %d, %d was answered before the backup began", known.Last, noted)
		}
		// However far the load had come until the backup was of an instant, the newest 256 are remembered.
		for n := max(known.Oldest, noted-5); n <= known.Last; n++ {
			a := r.sequenced("load", fmt.Sprint(n), asNDJSON, loadBody("load", n))
			if a.header.Get("Meterd-Replayed") != "true" || string(a.body) != answers(n) {
				t.Errorf("the retry of batch %d was answered %q, and first %q", n, a.body, answers(n))
			}
		}
		tr.d = r
		tr.check()
		r.must("POST", "/v1/snapshots", `{}`, nil)
		r.kill()
		verify(t, r.data, 0, "no difference", "snapshots    2")
	}
	tr.report(t)
}

// TestBackupIsCut kills the daemon, or what makes the backup, in the middle of it: without a manifest it is no backup,
// and a daemon lets go of what it held.
func TestBackupIsCut(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("load", `{"messages_per_day":1000000}`)
	d.credit("load", "LOT", 100)
	for i := range 20 {
		d.batch(line("connect", "load", fmt.Sprintf("d%d", i)))
	}
	last, _, stop := d.load("load")
	await(t, "the load is answered", func() bool { return last.Load() > 50 || !d.run.alive() })
	stop()
	dice := newDice(seed(t), 0)
	whole, cut := 0, 0
	for round := range 12 {
		to := filepath.Join(t.TempDir(), "backup")
		r, err := launch(nil, d.backupArgs(to)...)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(dice.Int64N(int64(60 * time.Millisecond))))
		signal := syscall.SIGKILL
		switch {
		case round%3 == 0:
			d.kill()
		case round%3 == 1:
			signal = syscall.SIGTERM
			fallthrough
		default:
			_ = r.cmd.Process.Signal(signal) // It may have ended.
		}
		<-r.exited
		if round%3 == 0 {
			d.start()
		}
		_, err = os.Stat(filepath.Join(to, "manifest.json"))
		code, said := tool(t, "restore", "--from", to, "--data", filepath.Join(t.TempDir(), "data"))
		switch {
		case (err == nil) != (code == 0):
			t.Fatalf("with a manifest (%v) restore exits with %d:\n%s", err, code, said)
		case code == 0:
			whole++
			continue
		case !strings.Contains(said, "manifest.json"):
			t.Errorf("what is not whole is refused with\n%s", said)
		}
		cut++
		if left, err := os.ReadDir(to); round%3 < 2 && (err == nil || len(left) > 0) {
			t.Errorf("%d files are left of a backup that failed: %v", len(left), err)
		}
	}
	t.Logf("%d were whole, %d were cut", whole, cut)
	await(t, "the next backup is made", func() bool {
		code, _ := tool(t, d.backupArgs(filepath.Join(t.TempDir(), "last"))...)
		return code == 0
	})
}

// TestRestorePowerCut cuts the power in the middle of restoring, and just behind it: a directory is whole, or no
// daemon takes it.
func TestRestorePowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE")
	}
	if err := powercut.Available(); err != nil {
		t.Fatalf("%v: run `make tools` (fuse3) on a machine with /dev/fuse, or leave this test out with -short", err)
	}
	t.Parallel()
	d := newDaemon(t, "--checkpoint-every", "50ms")
	d.withProduct("p", `{"messages_per_day":1000000}`)
	d.credit("p", "LOT", 100)
	d.batch(line("connect", "p", "d"), line("up", "p", "d"))
	d.must("POST", "/v1/snapshots", `{}`, nil)
	backup := filepath.Join(t.TempDir(), "backup")
	d.backup(backup)
	dice := newDice(seed(t), 0)
	whole, refused := 0, 0
	for round := range 16 {
		lower := t.TempDir()
		f := powercut.MountT(t, lower, powercut.Options{Seed: dice.Uint64() | 1})
		r, err := launch(nil, "restore", "--from", backup, "--data", filepath.Join(f.Mountpoint(), "data"))
		if err != nil {
			t.Fatal(err)
		}
		if round%4 > 0 {
			<-time.After(time.Duration(dice.Int64N(int64(200 * time.Millisecond))))
		} else {
			<-r.exited
		}
		if err := f.CutKeeping(dice.Uint64() | 1); err != nil {
			t.Fatal(err)
		}
		acknowledged := strings.Contains(r.stdout.String(), "group ")
		_ = r.cmd.Process.Kill() // It may have ended.
		<-r.exited
		b := daemonAt(t, filepath.Join(lower, "data"), d.flags...)
		b.token = d.token
		if _, err := os.Stat(filepath.Join(b.data, "VERSION")); err != nil {
			refused++
			if acknowledged {
				t.Fatalf("the restored directory is lost: %v", err)
			}
			if left, _ := os.ReadDir(filepath.Join(b.data, "log")); len(left) == 0 {
				continue // To a daemon it is new, or not there.
			}
			if err := b.tryStart(); err == nil {
				t.Fatalf("a daemon starts on half a directory:\n%s", b.run.said())
			}
			continue
		}
		whole++
		verify(t, b.data, 0, "no difference", "events       2,", "snapshots    1")
		b.start()
		b.kill()
	}
	t.Logf("%d were whole, %d refused", whole, refused)
}
