package archive

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/retention/disk"
)

// secretOf is a payload of a device that nothing else has and that does not compress: it can be looked for in files.
func secretOf(ordinal uint64) []byte {
	h := newHistory(1000+ordinal, 1)
	b := make([]byte, 64)
	for i := range b {
		b[i] = byte(h.dice.Uint32())
	}
	return b
}

// secrets gives all rows of a history a payload that tells the device.
func (h *history) secrets() {
	for i := range h.groups {
		g := &h.groups[i]
		for j := range g.rows {
			g.rows[j].Payload, g.rows[j].Topic = secretOf(ordinalOf(&g.rows[j])), []byte("a topic")
		}
	}
	for i := range h.rows {
		h.rows[i].Payload, h.rows[i].Topic = secretOf(ordinalOf(&h.rows[i])), []byte("a topic")
	}
}

func ordinalOf(r *Row) (ordinal uint64) {
	if r.Device.IsKnown() {
		return r.Device.Ordinal()
	}
	if _, err := fmt.Sscanf(string(r.Name), "device-%d", &ordinal); err != nil {
		panic(err)
	}
	return ordinal*3 + uint64(r.Device.Product()) - 1
}

// erasureOf erases what a device of the tests has said until an instant.
func erasureOf(ordinal, seq uint64, atMs int64) Erasure {
	return Erasure{
		Product: productOf(ordinal), Name: nameOf(ordinal), Known: true, Ordinal: ordinal, Seq: seq,
		SinceMs: atMs, UntilMs: atMs,
	}
}

// erase takes topic and payload from the rows that an erasure concerns: the archive must show the others as they were.
func (h *history) erase(x Erasure) {
	for i := range h.rows {
		if r := &h.rows[i]; ordinalOf(r) == x.Ordinal && r.DecidedMs <= x.UntilMs {
			r.Erase()
		}
	}
}

// filesWith returns the files below a directory that hold some bytes.
func filesWith(t testing.TB, path string, want []byte) (list []string) {
	t.Helper()
	err := filepath.WalkDir(path, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		if bytes.Contains(b, want) {
			list = append(list, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (s *Store) mustWriteRun(t testing.TB) {
	t.Helper()
	if err := s.WriteRun(); err != nil {
		t.Fatal(err)
	}
}

func (s *Store) mustTidy(t testing.TB, nowMs int64) {
	t.Helper()
	if err := s.Tidy(t.Context(), nowMs); err != nil {
		t.Fatal(err)
	}
}

// TestEraseRewrites: what is erased is off the disk once it has gathered, wherever it was: in a run, a span, in memory;
// nothing else has changed, and each directory was rewritten once.
func TestEraseRewrites(t *testing.T) {
	h := newHistory(5, 6)
	h.days = map[uint32]uint32{}
	for range 40 {
		h.next(20, 2*time.Hour)
	}
	h.secrets()
	s := testStore(t, Options{Retention: 14 * day, EraseAfter: 3 * time.Hour, blockRows: 7, newestFrom: 5})
	feed := func(from, to int) {
		for i := from; i < to; i++ {
			h.groups[i].feed(t, s)
			if i%5 == 4 && i < 38 {
				s.mustWriteRun(t)
			}
		}
	}
	feed(0, 38)
	s.mustTidy(t, h.groups[30].lastMs)
	if x := s.Stats(); x.Spans == 0 || x.Runs == 0 || x.MemoryRows == 0 {
		t.Fatalf("spans, runs and rows in memory must be met: %+v", x)
	}
	for o := range uint64(6) {
		if len(filesWith(t, s.o.Path, secretOf(o))) < 3 {
			t.Fatal("a payload cannot be found, so a search proves nothing")
		}
	}
	atMs := h.groups[36].lastMs
	one, two := erasureOf(1, 7, atMs), erasureOf(4, 9, atMs-1000)
	two.SinceMs, two.Known = atMs, false // It was never active, as far as whoever erased knew.
	set := NewErasures(9, []Erasure{one, two})
	s.SetErasures(set)
	nowMs := atMs + 3*time.Hour.Milliseconds()
	s.mustTidy(t, nowMs-1)
	if x := s.Stats(); x.Rewritten != 0 {
		t.Fatalf("%d directories were rewritten before erasures have gathered", x.Rewritten)
	}
	if through, due := s.ErasedThrough(), s.LogEraseDue(nowMs-1); through != 0 || due != 0 {
		t.Errorf("erasures have not gathered, and it is erased through %d, the log is to erase through %d", through, due)
	}
	before := s.Stats()
	s.mustTidy(t, nowMs)
	x := s.Stats()
	if want := uint64(before.Runs + before.Spans); x.Rewritten != want {
		t.Errorf("%d directories were rewritten of %d", x.Rewritten, want)
	}
	if files := filesWith(t, s.o.Path, secretOf(1)); len(files) > 0 {
		t.Errorf("these hold it still: %q", files)
	}
	s.mustTidy(t, nowMs)
	if again := s.Stats(); again.Rewritten != x.Rewritten {
		t.Error("directories are rewritten again")
	}
	// What waited in memory is written without it.
	s.mustWriteRun(t)
	feed(38, 40)
	s.mustWriteRun(t)
	if len(filesWith(t, s.o.Path, secretOf(1))) == 0 != (h.newest(1) <= atMs) {
		t.Error("what was decided later must stay")
	}
	h.erase(one)
	for i := range h.rows { // Of the second one, what stands under its name alone.
		if r := &h.rows[i]; !r.Device.IsKnown() && ordinalOf(r) == 4 && r.DecidedMs <= two.UntilMs {
			r.Erase()
		}
	}
	h.compare(t, s, nowMs)
	if got := s.LogEraseDue(nowMs); got != 9 {
		t.Errorf("the log must be erased up to %d", got)
	}
	if err := s.LogErased(9, nowMs); err != nil {
		t.Fatal(err)
	}
	if s.ErasedThrough() != 9 || s.LogEraseDue(nowMs) != 0 {
		t.Errorf("erased through %d", s.ErasedThrough())
	}
	// All of that survives a restart, and runs that were rewritten merge in the order of their groups.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = testStore(t, s.o)
	s.SetErasures(set)
	if s.ErasedThrough() != 9 {
		t.Errorf("erased through %d after a restart", s.ErasedThrough())
	}
	nowMs = h.nowMs + 3*day.Milliseconds()
	s.mustTidy(t, nowMs)
	if x := s.Stats(); x.Runs > 3 || x.Rewritten > 0 {
		t.Errorf("%+v", x)
	}
	h.compare(t, s, nowMs)
	proveNoLeftovers(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// newest returns when the newest row of a device was decided.
func (h *history) newest(ordinal uint64) (ms int64) {
	for i := range h.rows {
		if ordinalOf(&h.rows[i]) == ordinal {
			ms = max(ms, h.rows[i].DecidedMs)
		}
	}
	return ms
}

// TestEraseAgain: a device that is erased again and again has each directory rewritten once in EraseAfter, and one that
// has nothing of it not at all.
func TestEraseAgain(t *testing.T) {
	h := newHistory(6, 4)
	h.next(60, time.Minute)
	h.secrets()
	s := testStore(t, Options{EraseAfter: time.Hour})
	h.groups[0].feed(t, s)
	s.mustWriteRun(t)
	hour := time.Hour.Milliseconds()
	x := erasureOf(2, 1, h.nowMs)
	for i := range int64(8) {
		nowMs := h.nowMs + i*hour/2
		x.Seq, x.UntilMs = uint64(i+1), nowMs
		s.SetErasures(NewErasures(x.Seq, []Erasure{x, erasureOf(99, 1, h.nowMs)}))
		s.mustTidy(t, nowMs)
		if got, want := s.Stats().Rewritten, uint64(min(1, i/2)); got != want {
			t.Errorf("after %d half hours it was rewritten %d times, want %d: there was nothing left", i, got, want)
		}
	}
	if len(filesWith(t, s.o.Path, secretOf(2))) > 0 || len(filesWith(t, s.o.Path, secretOf(1))) == 0 {
		t.Error("the wrong rows are gone")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledWhileErasing: whatever change on the disk a crash comes before, the next start has every row once, and goes
// on until the payloads are gone.
func TestKilledWhileErasing(t *testing.T) {
	h := newHistory(8, 5)
	for range 6 {
		h.next(12, time.Hour)
	}
	h.secrets()
	set := NewErasures(3, []Erasure{erasureOf(1, 3, h.nowMs)})
	nowMs := h.nowMs + 2*time.Hour.Milliseconds()
	live := func(path string, c *crash) (*Store, error) {
		s, err := Open(Options{Path: path, Retention: 7 * day, EraseAfter: time.Hour, step: c.step})
		if err != nil {
			return nil, err
		}
		s.SetProducts(productOf)
		for i := range h.groups {
			if g := &h.groups[i]; g.seq > s.Position().Seq {
				g.feed(t, s)
				if err := s.WriteRun(); i%2 == 1 && err != nil {
					return s, err
				}
			}
		}
		s.SetErasures(set)
		if err := s.Tidy(t.Context(), nowMs); err != nil {
			return s, err
		}
		return s, s.LogErased(3, nowMs)
	}
	whole := &crash{}
	s, err := live(t.TempDir()+"/archive", whole)
	if err != nil {
		t.Fatal(err)
	}
	kept := slices.Clone(h.rows)
	h.erase(erasureOf(1, 3, h.nowMs))
	defer func() { h.rows = kept }()
	check := func(s *Store) {
		t.Helper()
		h.compare(t, s, nowMs)
		proveNoLeftovers(t, s)
		if files := filesWith(t, s.o.Path, secretOf(1)); len(files) > 0 || s.ErasedThrough() != 3 {
			t.Errorf("these hold it still: %q", files)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	check(s)
	first := slices.IndexFunc(whole.steps, func(what string) bool { return what == "make run-7" })
	if first < 0 {
		t.Fatalf("no run was rewritten: %q", whole.steps)
	}
	for at := first; at < len(whole.steps); at++ {
		if testing.Short() && at%9 > 0 {
			continue
		}
		path := quickDir(t) + "/archive"
		s, err := live(path, &crash{at: at})
		if !errors.Is(err, errCrash) {
			t.Fatalf("step %d, %q: %v", at, whole.steps[at], err)
		}
		if s != nil {
			_ = s.Close() // A process that is gone closes nothing; this only gives back what the test holds.
		}
		if s, err = live(path, &crash{}); err != nil {
			t.Fatalf("after a crash at step %d, %q: %v", at, whole.steps[at], err)
		}
		check(s)
	}
}

// TestCovers: an erasure concerns the device alone, by its ordinal and by its name, and ends with its millisecond.
func TestCovers(t *testing.T) {
	e := NewErasures(2, []Erasure{
		{Product: 1, Name: "a", Known: true, Ordinal: 7, UntilMs: 100}, {Product: 1, Name: "b", UntilMs: 200},
	})
	row := func(d Device, name string, ms int64) *Row { return &Row{Device: d, Name: []byte(name), DecidedMs: ms} }
	for _, c := range []struct {
		r    *Row
		want bool
	}{
		{row(Known(1, 7), "", 100), true},
		{row(Known(1, 7), "", 101), false},
		{row(Known(2, 7), "", 100), false},
		{row(Known(1, 8), "", 100), false},
		{row(Unknown(1, []byte("a")), "a", 100), true},
		{row(Unknown(1, []byte("a")), "another with the same hash", 100), false},
		{row(Unknown(1, []byte("b")), "b", 200), true},
		{row(Unknown(2, []byte("b")), "b", 200), false},
	} {
		if got := e.Covers(c.r); got != c.want {
			t.Errorf("%+v: %t", c.r, got)
		}
	}
	if (*Erasures)(nil).Covers(row(Known(1, 7), "", 1)) || NewErasures(1, nil).Covers(row(Known(1, 7), "", 1)) {
		t.Error("nothing is erased")
	}
}

// TestEraseBesideDamage: a directory that has gone bad is told, and keeps no other from being rewritten.
func TestEraseBesideDamage(t *testing.T) {
	h := newHistory(9, 4)
	for range 2 {
		h.next(60, time.Minute)
	}
	h.secrets()
	s := testStore(t, Options{EraseAfter: time.Hour})
	for i := range h.groups {
		h.groups[i].feed(t, s)
		s.mustWriteRun(t)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err := filepath.Glob(s.o.Path + "/run-1/*.sst")
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	if err := os.WriteFile(tables[0], secretOf(2), 0o600); err != nil {
		t.Fatal(err)
	}
	s = testStore(t, s.o)
	s.SetErasures(NewErasures(1, []Erasure{erasureOf(2, 1, h.nowMs)}))
	if err := s.Tidy(t.Context(), h.nowMs+time.Hour.Milliseconds()); !errors.Is(err, disk.ErrDamaged) {
		t.Errorf("the damage is not told: %v", err)
	}
	files := filesWith(t, s.o.Path, secretOf(2))
	elsewhere := func(file string) bool { return !slices.Contains(tables, file) }
	if !slices.Contains(files, tables[0]) || slices.ContainsFunc(files, elsewhere) || s.Stats().Rewritten != 1 {
		t.Errorf("these hold it still: %q, %d directories were rewritten", files, s.Stats().Rewritten)
	}
	if s.ErasedThrough() != 0 {
		t.Error("it is not off the disk")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestRemovalIsTriedAgain: a directory that was rewritten and cannot be removed, whatever step fails, is told, holds
// what was erased on the disk, and is removed by the next Tidy.
func TestRemovalIsTriedAgain(t *testing.T) {
	for _, fails := range []string{"rename to remove run-1", "remove a file of run-1", "remove run-1"} {
		h := newHistory(9, 4)
		h.next(60, time.Minute)
		h.secrets()
		broken := errors.New("the disk does not")
		isBroken := true
		s := testStore(t, Options{EraseAfter: time.Hour, step: func(what string) error {
			if isBroken && what == fails {
				return broken
			}
			return nil
		}})
		h.groups[0].feed(t, s)
		s.mustWriteRun(t)
		nowMs := h.nowMs + time.Hour.Milliseconds()
		s.SetErasures(NewErasures(1, []Erasure{erasureOf(2, 1, h.nowMs)}))
		if err := s.LogErased(1, nowMs); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Tidy(t.Context(), nowMs); !errors.Is(err, broken) {
				t.Errorf("%s: %v", fails, err)
			}
			if n := s.Stats().Rewritten; n != 1 {
				t.Errorf("%s fails, and %d directories were rewritten", fails, n)
			}
			if through := s.ErasedThrough(); through != 0 {
				t.Errorf("%s fails, and it is erased through %d", fails, through)
			}
		}
		isBroken = false
		if err := s.Tidy(t.Context(), nowMs); err != nil {
			t.Errorf("%s fails no more: %v", fails, err)
		}
		if files, through := filesWith(t, s.o.Path, secretOf(2)), s.ErasedThrough(); len(files) > 0 || through != 1 {
			t.Errorf("%s: erased through %d, and these hold it: %q", fails, through, files)
		}
		proveNoLeftovers(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCountedAlthoughNothingGoes: merges, and directories that are over, are counted when the manifest no longer names
// what they replace, also while that cannot be removed from the disk.
func TestCountedAlthoughNothingGoes(t *testing.T) {
	h := newHistory(3, 4)
	broken := errors.New("the disk does not")
	s := testStore(t, Options{step: func(what string) error {
		if strings.HasPrefix(what, "rename to remove") {
			return broken
		}
		return nil
	}})
	run := func() {
		g := h.next(60, time.Hour)
		g.feed(t, s)
		s.mustWriteRun(t)
	}
	tidy := func(after time.Duration) Stats {
		t.Helper()
		if err := s.Tidy(t.Context(), h.nowMs+after.Milliseconds()); !errors.Is(err, broken) {
			t.Errorf("tidied with %v", err)
		}
		return s.Stats()
	}
	run()
	run()
	h.nowMs += day.Milliseconds()
	run() // The first span is over.
	x := tidy(2 * time.Hour)
	if x.Merges != 1 || x.Removed != 0 {
		t.Errorf("%d merges, %d removed", x.Merges, x.Removed)
	}
	if y := tidy(30 * day); y.Removed != uint64(x.Runs+x.Spans) || y.RemovedBytes != uint64(x.Bytes) {
		t.Errorf("of %d directories %d are removed, of %d bytes %d", x.Runs+x.Spans, y.Removed, x.Bytes, y.RemovedBytes)
	}
}
