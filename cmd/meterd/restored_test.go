package main_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A data directory is restored from a backup while a gateway goes on with the id of an event that came after it. The
// daemon on the backup gives the same numbers again: it must not take the id for one of its own, or the gateway misses
// disconnects until the numbers catch up.
func TestStreamAfterARestore(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", lasting)
	d.credit("p1", "PO-1", 10)
	// putOffline has a device connect and be put offline, and hears so, so that it is durable.
	putOffline := func(d *daemon, hears *ear, device string) {
		t.Helper()
		d.play("p1", []row{{"gw", "connect", device, "accepted"}})
		d.suspend("/v1/products/p1", true)
		d.suspend("/v1/products/p1", false)
		if got, want := hears.next().String(), "disconnect p1 "+device+" suspended"; got != want {
			t.Fatalf("the gateway heard %q, want %q", got, want)
		}
	}
	hears := d.listen("gw", "")
	putOffline(d, hears, "before")
	kept := hears.last
	d.stop()
	backup := daemonAt(t, filepath.Join(t.TempDir(), "data"))
	if err := os.CopyFS(backup.data, os.DirFS(d.data)); err != nil {
		t.Fatal(err)
	}

	d.start()
	hears = d.listen("gw", kept)
	for _, device := range []string{"lost1", "lost2", "lost3"} {
		putOffline(d, hears, device)
	}
	lost := hears.last
	d.kill()

	backup.token = d.token
	backup.start()
	putOffline(backup, backup.listen("gw", kept), "after")
	for range 2 {
		for _, tt := range []struct {
			id   string
			want []string
		}{
			{lost, []string{"disconnect p1 after suspended", "disconnect p1 before suspended", "refresh p1"}},
			{"5.5", []string{"disconnect p1 after suspended", "disconnect p1 before suspended", "refresh p1"}},
			{kept, []string{"disconnect p1 after suspended"}},
		} {
			var heard []string
			for _, c := range backup.listen("gw", tt.id).take(len(tt.want)) {
				heard = append(heard, c.String())
			}
			if slices.Sort(heard); !slices.Equal(heard, tt.want) {
				t.Errorf("behind %s the gateway heard %q, want %q", tt.id, heard, tt.want)
			}
		}
		backup.kill() // Another start is another run, and goes on in the same history.
		backup.start()
	}
}
