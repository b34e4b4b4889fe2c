package spool

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/powercut"
)

func TestMain(m *testing.M) {
	if powercut.IsServer() {
		os.Exit(powercut.Main())
	}
	os.Exit(m.Run())
}

// cutWork is what a gateway does while the power goes.
type cutWork struct {
	t    *testing.T
	kept map[uint64]string // place → what was acknowledged, "" for nothing
	// The step that was not: it has happened or not.
	place uint64
	after string
}

// do keeps, seals and removes batches in dir until something fails.
func (w *cutWork) do(dir string) {
	failed := false
	s, left, err := Open(Options{
		Dir: dir, BytesMax: math.MaxInt64, EventsMax: math.MaxInt64, Producer: "gw-1", Fault: func(error) { failed = true },
	})
	if err != nil {
		return
	}
	defer s.Close()
	if len(left) > 0 {
		w.t.Fatal("the directory was not empty")
	}
	step := func(b *Batch, after string, do func() error) bool {
		w.place, w.after = b.place, after
		if err := do(); err != nil || failed {
			return false
		}
		w.kept[b.place], w.place = after, 0
		return true
	}
	events, body := strings.Repeat("e", 700), strings.Repeat("s", 3000) // More than a sector, more than a few.
	seal := Seal{Sequence: 7, At: time.UnixMilli(1500), Count: 3, Refused: []int{1}, Body: []byte(body)}
	sealed := "7 at 1500: " + body + ", 3, refused [1]"
	a, b, c := s.Batch(s.Place()), s.Batch(s.Place()), s.Batch(s.Place())
	_ = step(a, "1: "+events, func() error { return a.Append([]byte(events), 1) }) &&
		step(b, sealed, func() error { return b.Seal(seal) }) &&
		step(a, "2: "+events+",x", func() error { return a.Append([]byte("x"), 1) }) &&
		step(a, "3: "+events+",x,"+events, func() error { return a.Append([]byte(events), 1) }) &&
		step(a, sealed, func() error { return a.Seal(seal) }) &&
		step(c, "1: x", func() error { return c.Append([]byte("x"), 1) }) &&
		step(a, "2: "+events, func() error { return a.Restart([]byte(events), 2) }) &&
		step(b, "", func() error { b.Remove(); return nil }) &&
		step(a, sealed, func() error { return a.Seal(seal) }) &&
		step(c, sealed, func() error { return c.Seal(seal) }) &&
		step(a, "", func() error { a.Remove(); return nil })
}

var errCutLost = errors.New("what was acknowledged is lost, or came back")

// check opens what is left, where no power goes.
func (w *cutWork) check(dir string) error {
	var faults []string
	s, left, err := Open(Options{
		Dir: dir, BytesMax: math.MaxInt64, EventsMax: math.MaxInt64, Producer: "gw-1",
		Fault: func(err error) { faults = append(faults, err.Error()) },
	})
	if err != nil {
		return err
	}
	defer s.Close()
	found := map[uint64]string{}
	for _, b := range left {
		found[b.place] = text(w.t, b)
	}
	for place := range uint64(4) {
		if got := found[place]; got != w.kept[place] && (place != w.place || got != w.after) {
			return errors.Join(errCutLost, errors.New(strings.Join(faults, "; ")))
		}
	}
	return nil
}

// TestPowerCuts cuts the power at every change that the spool asks its disk for, once so that only what was synced
// survives and once with an arbitrary part of the rest: what was acknowledged is there, and nothing else but the step
// that was not. With syncs that do nothing the same must fail.
func TestPowerCuts(t *testing.T) {
	if testing.Short() {
		t.Skip("it mounts a file system a hundred times")
	}
	if err := powercut.Available(); err != nil {
		t.Skip(err)
	}
	first := rand.Uint64()
	t.Logf("seeds from %d", first)
	run := func(o powercut.Options) (cutAt string, err error) {
		lower := t.TempDir()
		w := &cutWork{t: t, kept: map[uint64]string{}}
		f := powercut.MountT(t, lower, o)
		w.do(filepath.Join(f.Mountpoint(), "spool"))
		if err := f.Cut(); err != nil {
			t.Fatal(err)
		}
		return f.CutAt(), w.check(filepath.Join(lower, "spool"))
	}
	lost, cuts := 0, uint64(0)
	for at, cutAt := uint64(1), "first"; cutAt != ""; at++ {
		for _, seed := range []uint64{0, first + at} {
			var err error
			if cutAt, err = run(powercut.Options{CutAt: at, CutSeed: seed}); err != nil {
				t.Errorf("cut at change %d, %q, seed %d: %v", at, cutAt, seed, err)
			}
		}
		if _, err := run(powercut.Options{CutAt: at, IgnoreSync: true}); errors.Is(err, errCutLost) {
			lost++
		}
		cuts = at
	}
	if lost == 0 || cuts < 30 {
		t.Errorf("%d cuts; of those with syncs that do nothing %d lost something: the test proves nothing", cuts, lost)
	}
	t.Logf("%d cuts; with syncs that do nothing %d of them lost something", cuts, lost)
}

// A power cut leaves sectors: whichever of the last write are there, nothing that was acknowledged before is lost.
func TestTornSectors(t *testing.T) {
	const sector = 512
	before := appendEvents(appendOrigin(nil, "gw-1"), kindEvents, bytes.Repeat([]byte("e"), 700), 1)
	big := Seal{Sequence: 7, Count: 3, Body: bytes.Repeat([]byte("s"), 3000)}
	whole := appendSeal(before[:len(before):len(before)], &big)
	sectors := (len(whole)+sector-1)/sector - len(before)/sector
	for set := range 1<<sectors - 1 {
		raw := append([]byte(nil), whole...)
		for i := range sectors {
			from := max((len(before)/sector+i)*sector, len(before))
			if to := min((len(before)/sector+i+1)*sector, len(raw)); set>>i&1 == 0 {
				clear(raw[from:to])
			}
		}
		got, faults, _ := openWith(t, raw)
		if !strings.HasPrefix(got, "1: eee") || len(faults) > 1 {
			t.Fatalf("sectors %b: %.20q, %q", set, got, faults)
		}
	}
}
