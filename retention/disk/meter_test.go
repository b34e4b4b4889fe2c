package disk

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A meter says what each room takes and how much more a day, over the last day, and when events will be refused.
func TestMeter(t *testing.T) {
	o := dirOptions(filepath.Join(t.TempDir(), "data"))
	const free, stop = 10 << 30, 1 << 30
	o.Space.Free = func(string) (uint64, error) { return free, nil }
	o.Space.StopBytes = stop
	d, err := OpenDir(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	m := NewMeter(d, slog.New(slog.DiscardHandler))
	if r := m.Report(); len(r.Rooms) != 0 || r.IsTrendKnown || r.FreeBytes != free || r.StopBytes != stop {
		t.Errorf("before the first look: %+v", r)
	}
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	look := func(after time.Duration) map[string]Room {
		t.Helper()
		now = now.Add(after)
		if err := m.Measure(now); err != nil {
			t.Fatal(err)
		}
		rooms := map[string]Room{}
		for _, room := range m.Report().Rooms {
			rooms[room.Name] = room
		}
		return rooms
	}
	if rooms := look(0); len(rooms) != 7 || rooms["ledger"].Bytes != 0 {
		t.Errorf("empty: %v", rooms)
	}
	path := filepath.Join(d.LedgerPath(), "deep", "file")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, path, make([]byte, 1<<20))
	rooms := look(time.Minute)
	taken := rooms["ledger"].Bytes
	if taken < 1<<20 || taken > 2<<20 || rooms["log"].Bytes != 0 || m.Report().IsTrendKnown || m.Report().DaysLeft >= 0 {
		t.Errorf("after a minute: %v", rooms)
	}
	look(12*time.Hour - time.Minute)
	r := m.Report()
	if want := float64(free-stop) / float64(2*taken); !r.IsTrendKnown || math.Abs(r.DaysLeft-want) > 1 {
		t.Errorf("%.1f days left, want %.1f", r.DaysLeft, want)
	}
	if rooms := look(0); rooms["ledger"].GrowthBytes != int64(2*taken) {
		t.Errorf("%v, want a growth of twice %d", rooms, taken)
	}
	// A day later it does not grow any more, and what lies longer back is forgotten.
	look(24 * time.Hour)
	if r := m.Report(); !r.IsTrendKnown || r.DaysLeft >= 0 || len(m.taken) != 3 {
		t.Errorf("%+v of %d measurements", r, len(m.taken))
	}
}

// Sparse files take what they have, and a directory that is not there takes nothing.
func TestBytesOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	write(t, path, []byte("x"))
	if err := os.Truncate(path, 1<<30); err != nil {
		t.Fatal(err)
	}
	if bytes, err := bytesOf(path); err != nil || bytes == 0 || bytes > 1<<20 {
		t.Errorf("%d bytes, %v", bytes, err)
	}
	if bytes, err := bytesOf(path + "-none"); err != nil || bytes != 0 {
		t.Errorf("%d bytes, %v", bytes, err)
	}
	if _, err := os.Stat(path + "-none"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
