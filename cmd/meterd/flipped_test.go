package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// flips counts what became of flipped bytes.
type flips struct {
	t                   *testing.T
	refused, same, loud int
}

// flip starts a daemon on a copy of a data directory with one bit flipped. It must refuse to start and name the place,
// or everything must be as it was, or reading the log must fail and the daemon say where. It must never answer
// something else.
func (f *flips) flip(from *daemon, state, name string, at int, bit byte) {
	f.t.Helper()
	data := copyOf(f.t, from.data)
	change(f.t, filepath.Join(data, name), at, func(b []byte) { b[0] ^= bit })
	d := daemonAt(f.t, data)
	d.token = from.token
	err := d.tryStart()
	switch {
	case err != nil:
		if f.refused++; !strings.Contains(err.Error(), data) || d.run.cmd.ProcessState.ExitCode() != 1 {
			f.t.Errorf("%s byte %d bit %#x: refused without a word of where: %v", name, at, bit, err)
		}
	case d.logsBroken("p1", "d1", "d2", "new"):
		f.loud++
		await(
			f.t,
			"the operator is told where",
			func() bool { return strings.Contains(d.run.said(), data) },
		)
	default:
		f.same++
		if got := d.state("p1"); got != state {
			f.t.Errorf("%s byte %d bit %#x: it started with another state: %s", name, at, bit, difference(state, got))
		}
	}
	d.kill()
	if err := os.RemoveAll(data); err != nil {
		f.t.Fatal(err)
	}
}

func (f *flips) report() {
	f.t.Helper()
	f.t.Logf(
		"%d bytes flipped: %d refused, %d without effect, %d found when the log was read",
		f.refused+f.same+f.loud,
		f.refused,
		f.same,
		f.loud,
	)
}

// difference shows where two texts begin to differ.
func difference(a, b string) string {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	return fmt.Sprintf("was …%.200q…, is …%.200q…, %d and %d bytes", a[at:], b[at:], len(a), len(b))
}

// TestAnyFlippedByte flips one byte after another at random places of all files.
func TestAnyFlippedByte(t *testing.T) {
	t.Parallel()
	rounds := 30
	if testing.Short() {
		rounds = 6
	}
	dice := newDice(seed(t), 0)
	f := &flips{t: t}
	for _, end := range []func(*daemon){(*daemon).stop, (*daemon).kill} {
		from, state := full(t, end)
		files := used(t, from.data)
		delete(files, "LOCK")
		delete(files, "admin.token")
		names := sortedKeys(files)
		for round := range rounds {
			name := names[round%len(names)]
			f.flip(from, state, name, dice.IntN(files[name]), byte(1)<<dice.IntN(8))
		}
	}
	f.report()
}

// TestFlippedManifest flips every byte of the files by which Badger knows its tables: one that it does not find there
// it deletes.
func TestFlippedManifest(t *testing.T) {
	t.Parallel()
	step := 1
	if testing.Short() {
		step = 5
	}
	f := &flips{t: t}
	for _, end := range []func(*daemon){(*daemon).stop, (*daemon).kill} {
		from, state := full(t, end)
		for name, bytes := range used(t, from.data) {
			if filepath.Base(name) != "MANIFEST" {
				continue
			}
			for at := 0; at < bytes; at += step {
				f.flip(from, state, name, at, 2)
			}
		}
	}
	f.report()
}

// logsBroken reports whether reading the log of one of the devices, or the ledger, fails.
func (d *daemon) logsBroken(product string, devices ...string) bool {
	d.t.Helper()
	if a, err := d.try("GET", "/v1/products/"+product+"/licenses", nil); err != nil || a.status != 200 {
		return true
	}
	for _, device := range devices {
		a, err := d.try("GET", "/v1/products/"+product+"/devices/"+device+"/logs", nil)
		if err != nil || a.status != 200 {
			return true
		}
	}
	return false
}
