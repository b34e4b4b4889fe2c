package main_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// smallDisk mounts a file system of its own of some bytes, and takes it away with the test. Only root may.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(bytes)); err != nil {
		t.Skipf("a small file system cannot be mounted here (it takes root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

func freeBytes(t *testing.T, dir string) uint64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	return st.Bavail * uint64(st.Bsize)
}

// fillDisk writes a file until nothing but leave bytes is free.
func fillDisk(t *testing.T, path string, leave uint64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 64<<10)
	for freeBytes(t, filepath.Dir(path)) > leave {
		if _, err := f.Write(block); err != nil {
			return // It is full.
		}
	}
}

// TestDiskFull: ingest stops with 503 while there is room to come to rest; the process lives and answers; a kill and a
// start on a disk without one free byte work, by the ballast; and events are taken again as soon as there is space.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills a disk")
	}
	t.Parallel()
	const stop = 96 << 20 // More than the ballast: giving that up alone does not let events in.
	const near = 32 << 20
	disk := smallDisk(t, 352<<20)
	d := daemonAt(t, filepath.Join(disk, "data"), "--disk-stop-bytes", strconv.Itoa(stop), "--checkpoint-every", "1s")
	d.start()
	d.withProduct("p1", `{"messages_per_day":1000000}`)
	d.batch(line("connect", "p1", "d1"))
	dice := rand.NewChaCha8([32]byte{1})
	payload := make([]byte, 48<<10)
	event := func() string {
		_, _ = dice.Read(payload)
		return fmt.Sprintf(
			`{"type":"up","product":"p1","device":"d1","payload_base64":"%s"}`,
			base64.StdEncoding.EncodeToString(payload),
		)
	}
	taken := uint64(0)
	looked := freeBytes(t, disk)
	for {
		// The daemon looks twice a second. Near the threshold it is let look, or a fast machine fills the disk between two
		// looks.
		if free := freeBytes(t, disk); free < stop+near && free+near/4 < looked {
			await(t, "the daemon has looked at the disk", func() bool {
				seen, err := strconv.ParseFloat(d.metric("meterd_disk_free_bytes"), 64)
				return err == nil && seen < float64(freeBytes(t, disk)+near/16)
			})
			looked = free
		}
		a := d.ask("POST", "/v1/events", event())
		if a.status != 200 {
			a.refuse(t, 503, "overloaded")
			if a.header.Get("Retry-After") == "" {
				t.Error("a 503 without Retry-After")
			}
			break
		}
		if taken++; taken > 352<<20/uint64(len(payload)) {
			t.Fatal("more was taken than the disk holds")
		}
	}
	left := freeBytes(t, disk)
	if left < stop/4 {
		t.Errorf("ingest stopped when only %d bytes were free", left)
	}
	stopped := func(want string) {
		t.Helper()
		if got := d.metric(`meterd_ingest_stopped{reason="disk_full"}`); got != want {
			t.Errorf("meterd_ingest_stopped says %q, want %s", got, want)
		}
	}
	sees := func() {
		t.Helper()
		if v := d.device("p1", "d1"); v.Messages.Up != taken || !v.Online {
			t.Errorf("%d messages are counted of %d, online %v", v.Messages.Up, taken, v.Online)
		}
	}
	stopped("1")
	sees()
	for _, path := range []string{"/livez", "/readyz"} {
		if a := d.ask("GET", path, ""); a.status != 200 {
			t.Errorf("%s on a full disk: %d", path, a.status)
		}
	}
	d.ask("POST", "/v1/events", line("disconnect", "p1", "d1")).refuse(t, 503, "overloaded")

	d.stop() // It comes to rest in the room that was kept,
	filler := filepath.Join(disk, "filler")
	fillDisk(t, filler, stop*3/4) // of which it may have given back more than was missing.
	d.start()
	sees()
	stopped("1")
	d.kill()

	fillDisk(t, filler+"2", 0)
	d.start()
	want(t, d.run.said(), "ballast given up")
	sees()
	stopped("1")
	d.ask("POST", "/v1/events", line("up", "p1", "d1")).refuse(t, 503, "overloaded")
	full := freeBytes(t, disk)

	for _, f := range []string{filler, filler + "2"} {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "events are taken again", func() bool {
		a := d.ask("POST", "/v1/events", line("up", "p1", "d1"))
		if a.status == 200 {
			taken++
		}
		return a.status == 200
	})
	stopped("0")
	d.restart()
	sees()
	if got := uint64(len(d.logs("p1", "d1"))); got != taken+1 {
		t.Errorf("%d log entries of %d messages and a connect", got, taken)
	}
	t.Logf(
		"%d messages taken; stopped with %d MiB free of %d MiB asked for; started with 0 bytes free (%d MiB once the "+
			"ballast was given up); resumed",
		taken,
		left>>20,
		stop>>20,
		full>>20,
	)
}

// TestNoRoomToOpen: where even the ballast does not help, the daemon says how much is needed and where.
func TestNoRoomToOpen(t *testing.T) {
	t.Parallel()
	disk := smallDisk(t, 16<<20)
	d := daemonAt(t, filepath.Join(disk, "data"))
	want(t, d.refused(), d.data, "free at least")
}
