package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// whatToDo is in the message about every damaged file.
const whatToDo = "put this data directory back from a backup"

// TestDirectoryInUse: a second daemon on a data directory is refused, and the first one does not notice.
func TestDirectoryInUse(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	second := daemonAt(t, d.data)
	want(t, second.refused(), d.data, "in use", "--data")
	if got := d.batch(line("up", "p1", "d1"))[0]; got != "accepted" {
		t.Errorf("the first daemon answers %s", got)
	}
	d.kill() // The lock dies with its owner, however that dies.
	second.start()
	if v := second.device("p1", "d1"); v.Messages.Up != 2 {
		t.Errorf("after the kill: %+v", v.Messages)
	}
}

// TestForeignDirectories: another region, a newer format, somebody else's directory, a place that cannot be written.
func TestForeignDirectories(t *testing.T) {
	t.Parallel()
	d := daemonAt(t, filepath.Join(t.TempDir(), "data"), "--region", "eu-1")
	d.start()
	d.must("POST", "/v1/accounts", `{"account":"acme","kind":"personal","region":"eu-1"}`, nil)
	d.ask("POST", "/v1/accounts", `{"account":"b","kind":"personal","region":"us-1"}`).refuse(t, 422, "other_region")
	d.stop()
	other := daemonAt(t, d.data, "--region", "us-1")
	want(t, other.refused(), d.data, "eu-1", "us-1", "--region eu-1")

	newer := copyOf(t, d.data)
	// The layout of this file never changes: a title, names and values, a checksum. "version 7" has this one.
	if err := os.WriteFile(
		filepath.Join(newer, "VERSION"),
		[]byte("meterd data directory\nversion 7\ncrc32c 563e59fe\n"),
		0o600,
	); err != nil {
		t.Fatal(err)
	}
	want(t, daemonAt(t, newer, d.flags...).refused(), newer, "version 7", "newer meterd")

	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, daemonAt(t, foreign).refused(), foreign, "thesis.txt", "--data")

	file := filepath.Join(foreign, "thesis.txt")
	want(t, daemonAt(t, file).refused(), file, "--data")
	want(t, daemonAt(t, filepath.Join(file, "below")).refused(), file, "--data")

	d.start() // It is as it was.
	if a := d.ask("GET", "/v1/accounts/acme", ""); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// copyOf copies a data directory whose daemon does not run, holes included.
func copyOf(t testing.TB, data string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if out, err := exec.Command("cp", "-a", "--sparse=auto", data, to).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v %s", data, err, out)
	}
	return to
}

// full makes a data directory with something of everything in it, and returns it with the daemon's state.
func full(t *testing.T, end func(*daemon)) (d *daemon, state string) {
	t.Helper()
	d = badDaemon(t)
	for round := range 6 {
		if round == 3 {
			d.restart() // With a checkpoint and the ledger's tables.
		}
		payload := make([]byte, 4<<10) // Random, so that it is over 1 KiB when it is compressed: it lies in the value log.
		_, _ = rand.NewChaCha8([32]byte{byte(round)}).Read(payload)
		d.batch(
			fmt.Sprintf(
				`{"type":"up","product":"p1","device":"d1","payload_base64":"%s"}`,
				base64.StdEncoding.EncodeToString(payload),
			),
			line("up", "p1", "d2"),
		)
	}
	d.credit("p1", "PO-2", 2)
	d.batch(line("connect", "p1", "new"))
	state = d.state("p1")
	end(d)
	if err := os.Remove(filepath.Join(d.data, "BALLAST")); err != nil { // It is made again, and makes copies slow.
		t.Fatal(err)
	}
	return d, state
}

// used returns the files below dir and how many of their bytes are in use: what lies behind is zeros. No file of these
// tests uses more than 2 MiB.
func used(t *testing.T, dir string) map[string]int {
	t.Helper()
	files := map[string]int{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if n := bytes.LastIndexFunc(data[:min(len(data), 2<<20)], func(r rune) bool { return r != 0 }) + 1; n > 0 {
			name, _ := filepath.Rel(dir, path) // Below dir: it cannot fail.
			files[name] = n
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// change rewrites some bytes of a file in place.
func change(t *testing.T, path string, at int, fn func(b []byte)) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, int64(at)) // The end of the file may come before.
	fn(b[:n])
	if _, err := f.WriteAt(b[:n], int64(at)); err != nil {
		t.Fatal(err)
	}
}

func flip(b []byte) { b[0] ^= 0x20 }

func zero(b []byte) { clear(b) }

// one returns the only file of files that matches a pattern.
func one(t *testing.T, files map[string]int, pattern string) string {
	t.Helper()
	var found []string
	for name := range files {
		if ok, err := filepath.Match(pattern, name); err != nil {
			t.Fatal(err)
		} else if ok {
			found = append(found, name)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s matches %q of %v", pattern, found, files)
	}
	return found[0]
}

// TestDamagedDirectories: a byte of what was acknowledged is not what was written, or is missing: the daemon names the
// place and what to do.
func TestDamagedDirectories(t *testing.T) {
	t.Parallel()
	closed, _ := full(t, (*daemon).stop)
	killed, _ := full(t, (*daemon).kill)
	files := map[*daemon]map[string]int{closed: used(t, closed.data), killed: used(t, killed.data)}
	for _, c := range []struct {
		name string
		from *daemon
		file string // pattern
		at   func(used int) int
		how  func([]byte)
	}{
		{"VERSION", closed, "VERSION", middle, flip},
		{"IDENTITY", closed, "IDENTITY", middle, flip},
		{"checkpoint, header", closed, "checkpoint/*", first, flip},
		{"checkpoint, section", closed, "checkpoint/*", middle, flip},
		{"checkpoint, footer", closed, "checkpoint/*", last, flip},
		{"log, a group", closed, "log/segment-*1", middle, flip},
		{"log, the last group", closed, "log/segment-*1", tail, flip},
		{"log of a crash, a group", killed, "log/segment-*1", middle, flip},
		{"log of a crash, its tail lost", killed, "log/segment-*1", tail, zero},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := one(t, files[c.from], c.file)
			data := copyOf(t, c.from.data)
			change(t, filepath.Join(data, name), c.at(files[c.from][name]), c.how)
			said := daemonAt(t, data).refused()
			want(t, said, filepath.Join(data, filepath.Dir(name)), whatToDo)
		})
	}
	for _, c := range []struct{ name, file string }{
		{"no VERSION", "VERSION"},
		{"no IDENTITY", "IDENTITY"},
		{"no mark of the log", "log/MARK"},
		{"no log", "log/segment-*1"},
		{"no checkpoint", "checkpoint/*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copyOf(t, closed.data)
			names, err := filepath.Glob(filepath.Join(data, c.file))
			if err != nil || len(names) != 1 {
				t.Fatal(names, err)
			}
			if err := os.RemoveAll(names[0]); err != nil {
				t.Fatal(err)
			}
			d := daemonAt(t, data)
			if c.file == "checkpoint/*" {
				// The log is whole as yet: without the checkpoint all of it is replayed.
				d.start()
				return
			}
			want(t, d.refused(), data, whatToDo)
		})
	}
}

func first(int) int     { return 4 }
func middle(n int) int  { return n / 2 }
func last(n int) int    { return n - 4 }
func tail(used int) int { return max(used-64, 20) }

// TestReadingDamageEndsNothing: what no recovery needs any more is not read at the start. Who reads it later is told,
// and so is the operator; enforcement goes on, or anybody with a viewer's token could end it as often as it is started.
func TestReadingDamageEndsNothing(t *testing.T) {
	t.Parallel()
	d := badDaemon(t, "--checkpoint-every", "100ms")
	d.batch(line("up", "p1", "d1"), line("up", "p1", "d1"))
	segment := func(n int) string { return filepath.Join(d.data, "log", fmt.Sprintf("segment-%020d", n)) }
	payload := make([]byte, 200<<10) // Random: it does not shrink when it is compressed.
	dice := rand.NewChaCha8([32]byte{1})
	await(t, "the first segment ends", func() bool { // It is of 4 MiB. None of it is archived within an hour.
		_, _ = dice.Read(payload)
		d.batch(fmt.Sprintf(`{"type":"up","product":"p1","device":"d2","payload_base64":"%s"}`,
			base64.StdEncoding.EncodeToString(payload)))
		b := make([]byte, 16)
		f, err := os.Open(segment(2))
		if err != nil {
			return false
		}
		defer f.Close()
		n, _ := f.Read(b) // A file that was only prepared is zeros.
		return len(bytes.Trim(b[:n], "\x00")) > 0
	})
	before := d.device("p1", "d1").Messages.Up
	d.stop()
	data, err := os.ReadFile(segment(1))
	if err != nil {
		t.Fatal(err)
	}
	change(t, segment(1), len(bytes.TrimRight(data, "\x00"))*3/4, flip)
	d.start()
	for range 3 {
		a, err := d.try("GET", "/v1/products/p1/devices/d1/logs", nil)
		if err != nil {
			t.Fatalf("reading a damaged log ended the daemon: %v\n%s", err, d.run.said())
		}
		a.refuse(t, 500, "internal_error")
		await(t, "the operator is told where", func() bool { return strings.Contains(d.run.said(), segment(1)) })
	}
	if got := d.batch(line("up", "p1", "d1"))[0]; got != "accepted" {
		t.Errorf("after damage was read: %s", got)
	}
	d.kill()
	d.start()
	if v := d.device("p1", "d1"); v.Messages.Up != before+1 {
		t.Errorf("%+v, want %d", v.Messages, before+1)
	}
}

// TestLedgerIsBuiltAgain: the ledger is a view of the log. One that is damaged, older, or gone is brought up to date,
// or moved aside and built again, and the operator is told.
func TestLedgerIsBuiltAgain(t *testing.T) {
	t.Parallel()
	closed, want := full(t, (*daemon).stop)
	killed, _ := full(t, (*daemon).kill)
	for _, c := range []struct {
		name string
		from *daemon
		harm func(ledger string) error
	}{
		{"gone", closed, os.RemoveAll},
		{"without its manifest", closed, func(dir string) error { return os.Remove(filepath.Join(dir, "MANIFEST")) }},
		{"without a table", closed, func(dir string) error { return os.Remove(filepath.Join(dir, "000001.sst")) }},
		{"with a table damaged", closed, func(dir string) error { return flipMiddle(filepath.Join(dir, "000001.sst")) }},
		{"with a manifest damaged", closed, func(dir string) error { return flipMiddle(filepath.Join(dir, "MANIFEST")) }},
		{"with a memtable damaged", killed, func(dir string) error { return flipMiddle(filepath.Join(dir, "00001.mem")) }},
		{"without a memtable", killed, func(dir string) error { return os.Remove(filepath.Join(dir, "00001.mem")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := copyOf(t, c.from.data)
			if err := c.harm(filepath.Join(data, "ledger")); err != nil {
				t.Fatal(err)
			}
			d := daemonAt(t, data)
			d.token = c.from.token
			d.start()
			if got := d.state("p1"); c.from == closed && got != want {
				t.Errorf("the state differs: %s", difference(want, got))
			}
			if n := len(pages[licenseView](d, "/v1/products/p1/licenses", "licenses")); n == 0 {
				t.Error("no licence is listed")
			}
		})
	}
}

func flipMiddle(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(bytes.TrimRight(b, "\x00"))/2] ^= 0x20
	return os.WriteFile(path, b, 0o600)
}

// TestOlderLedgerCatchesUp: a ledger that was put back from a backup gets from the log what it lacks, and no licence is
// given out twice meanwhile (R4).
func TestOlderLedgerCatchesUp(t *testing.T) {
	t.Parallel()
	d := badDaemon(t)
	d.withoutGifts("p1")
	d.stop()
	old := copyOf(t, filepath.Join(d.data, "ledger"))
	d.start()
	d.credit("p1", "PO-2", 5)
	d.batch(line("connect", "p1", "a"), line("connect", "p1", "b"), line("connect", "p1", "c"), line("connect", "p1", "e"))
	before := pages[licenseView](d, "/v1/products/p1/licenses", "licenses")
	d.kill()
	ledger := filepath.Join(d.data, "ledger")
	if err := os.RemoveAll(ledger); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", old, ledger).CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	d.start()
	after := pages[licenseView](d, "/v1/products/p1/licenses", "licenses")
	if fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("licences %+v, before %+v", after, before)
	}
}
