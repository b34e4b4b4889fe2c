package archive

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

var errCrash = errors.New("the process is gone")

// crash fails one step and every one behind it, as a process that is gone does.
type crash struct {
	at    int // 0: never
	steps []string
}

func (c *crash) step(what string) error {
	if len(c.steps) == c.at && c.at > 0 {
		return errCrash
	}
	c.steps = append(c.steps, what)
	return nil
}

// quickDir is t.TempDir, in memory where the machine has such a file system. A process that is "gone" by a hook loses
// nothing that was not synced: its test learns nothing from the disk, and waits for each of some thousand syncs.
func quickDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "meterd-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// run lets an archive live through a history whose rows expire: runs, merges and removals. It returns when it crashes.
func (c *crash) run(t *testing.T, h *history, path string) (s *Store, nowMs int64) {
	t.Helper()
	s, err := Open(Options{Path: path, Retention: 2 * day, memoryBytes: 1 << 30, step: c.step})
	if errors.Is(err, errCrash) {
		return nil, 0
	}
	if err != nil {
		t.Fatal(err)
	}
	s.SetProducts(productOf)
	for i := range h.groups {
		g := &h.groups[i]
		if g.seq <= s.Position().Seq {
			continue
		}
		nowMs = g.lastMs
		g.feed(t, s)
		if s.Due(nowMs) {
			if err := s.WriteRun(); errors.Is(err, errCrash) {
				return s, nowMs
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if i%3 == 2 {
			if err := s.Tidy(t.Context(), nowMs); errors.Is(err, errCrash) {
				return s, nowMs
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, nowMs
}

// TestKilledAtEveryStep: whatever change on the disk a crash comes before, the next start has every row once, in the
// archive or in the log behind its position, and nothing is left that the manifest does not name. METERD_EVERY_STEP has
// it take each step and not one of seven, which takes minutes.
func TestKilledAtEveryStep(t *testing.T) {
	h := newHistory(7, 8)
	for range 14 {
		h.next(12, 6*time.Hour)
	}
	whole := &crash{}
	s, nowMs := whole.run(t, h, t.TempDir()+"/archive")
	x := s.Stats()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if x.Merges == 0 || x.Removed == 0 || x.RunsWritten < 5 {
		t.Fatalf("the history must have runs, merges and removals: %+v", x)
	}
	t.Logf("%d steps, %+v", len(whole.steps), x)
	for at := 1; at <= len(whole.steps); at++ {
		if os.Getenv("METERD_EVERY_STEP") == "" && at%7 > 0 || testing.Short() && at%35 > 0 {
			continue
		}
		path := quickDir(t) + "/archive"
		c := &crash{at: at}
		if s, _ := c.run(t, h, path); s != nil {
			_ = s.Close() // A process that is gone closes nothing; this only gives back what the test holds.
		}
		again := &crash{}
		s, _ := again.run(t, h, path)
		h.compare(t, s, nowMs)
		if got := s.Gathered().Seq; got != h.seq {
			t.Fatalf("crash at step %d: %d groups of %d", at, got, h.seq)
		}
		proveNoLeftovers(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// proveNoLeftovers proves that the disk has what the manifest names, and nothing else.
func proveNoLeftovers(t *testing.T, s *Store) {
	t.Helper()
	want := []string{manifestName}
	for i := range s.m.directories {
		want = append(want, s.m.directories[i].name())
	}
	slices.Sort(want)
	entries, err := os.ReadDir(s.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	if !slices.Equal(have, want) {
		t.Errorf("on the disk: %q, in the manifest: %q", have, want)
	}
}

// TestDamagedDirectory: a directory that has gone bad fails what reads it, and names itself. What does not need it goes
// on, and so do archiving and the merges of other spans.
func TestDamagedDirectory(t *testing.T) {
	h := newHistory(3, 8)
	s := testStore(t, Options{})
	feedRun := func() {
		g := h.next(200, time.Minute)
		g.feed(t, s)
		if err := s.WriteRun(); err != nil {
			t.Fatal(err)
		}
	}
	feedRun()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(s.o.Path + "/run-1/*.sst")
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	for _, name := range tables {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := 100; i < 200 && i < len(data); i++ {
			data[i] ^= 0x55
		}
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = testStore(t, s.o)
	q := query(1)
	_, err = s.Snapshot().Each(t.Context(), &q, func(*Row) bool { return true })
	if !errors.Is(err, disk.ErrDamaged) || !strings.Contains(err.Error(), "run-1") {
		t.Errorf("a damaged directory is read: %v", err)
	}
	feedRun()
	h.nowMs += 2 * day.Milliseconds()
	feedRun()
	q.FromMs = h.groups[1].firstMs
	if _, err := s.Snapshot().Each(t.Context(), &q, func(*Row) bool { return true }); err != nil {
		t.Errorf("what lies elsewhere: %v", err)
	}
	h.nowMs += 2 * day.Milliseconds()
	feedRun()
	if err := s.Tidy(t.Context(), h.nowMs); !errors.Is(err, disk.ErrDamaged) {
		t.Errorf("the merge of a damaged directory: %v", err)
	}
	if x := s.Stats(); x.Merges != 1 || x.Spans != 1 {
		t.Errorf("%d spans beside the damaged one were merged, want 1", x.Merges)
	}
	feedRun() // Archiving goes on.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, harm := range []func() error{
		func() error { return os.Rename(s.o.Path+"/run-1", s.o.Path+"/elsewhere") },
		func() error { return os.WriteFile(s.o.Path+"/MANIFEST", []byte("MARC nothing"), 0o600) },
		func() error { return os.Remove(s.o.Path + "/MANIFEST") },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(s.o); !errors.Is(err, disk.ErrDamaged) {
			t.Errorf("it opens: %v", err)
		}
	}
}
