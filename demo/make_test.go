package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/usage"
)

// open opens an engine in a new directory, without an archive, and ends it with the test.
func open(t *testing.T, c shard.Clock) *shard.Engine {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	dir, err := disk.OpenDir(disk.DirOptions{Path: filepath.Join(t.TempDir(), "data"), Region: "default"})
	must(err)
	log, err := commitlog.Open(commitlog.Options{Path: dir.LogPath(), Retention: Week})
	must(err)
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	must(err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	must(err)
	seed := dir.HashSeed()
	rows := usage.New(usage.Options{Store: store, Retention: 100 * 24 * time.Hour})
	e, err := shard.Open(shard.Options{
		Log: log, Ledger: rows, Checkpoints: checkpoints, Guard: dir.Guard(), Clock: c,
		HashSeed: binary.LittleEndian.Uint64(seed[:8]) | 1, Region: "default", Retention: Week,
	})
	must(err)
	t.Cleanup(func() {
		if err := errors.Join(e.Close(), log.Close(), rows.Close(), dir.Close()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// told is all that an engine knows of its devices and catalogue, as text.
func told(t *testing.T, e *shard.Engine) string {
	t.Helper()
	var lines []string
	err := e.View(func(v *shard.View) {
		for s := range counters.Shards {
			for slot := range v.Table.Slots(s) {
				_, name := v.Table.Name(slot.Ordinal())
				grant := v.Table.Grant(slot.Ordinal())
				lines = append(lines, fmt.Sprintf("%s %x %x %x %x %x %d %d", name, slot.Message(), slot.Denied(),
					slot.License(), slot.Session(), slot.OTA(), grant.ActivatedAt, grant.Pool))
			}
		}
		for _, p := range v.Catalogue.Products("") {
			lines = append(lines, fmt.Sprint(p.Name, p.Plan, p.Licenses(), p.Topups(), p.State.Active.Load()))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestMakeIsDetermined: two weeks of the same seed and beginning end alike, to the last bit of a device, although the
// engine's own goroutines look when they like. A third one, of another seed, does not.
func TestMakeIsDetermined(t *testing.T) {
	week := Week
	if testing.Short() {
		week = 3 * time.Hour
	}
	ends := func(seed uint64) string {
		c := NewClock(begin())
		e := open(t, c)
		o := Options{Seed: seed, Begin: begin(), End: begin().Add(week), Zone: "UTC", Token: "secret"}
		began := time.Now()
		made, err := Make(t.Context(), e, c, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d accepted, %d denied in %v", made.Accepted, made.DeniedAll(), time.Since(began))
		if now := e.NowMs(); now != o.End.UnixMilli() {
			t.Errorf("the engine's time is %d, the week ends at %d", now, o.End.UnixMilli())
		}
		return fmt.Sprint(made) + "\n" + told(t, e)
	}
	a := ends(1)
	if b := ends(1); a != b {
		t.Errorf("the same week ended so:\n%s\n\nand so:\n%s", a, b)
	}
	if ends(2) == a {
		t.Error("another seed made the same week")
	}
}

// TestEveryWeekHasEveryDenial: whichever day it begins on, and whether or not a month ends in it.
func TestEveryWeekHasEveryDenial(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes several weeks")
	}
	for _, from := range []string{"2026-11-02T02:00:00Z", "2026-11-06T21:30:00Z", "2026-11-28T13:00:00Z"} {
		begin, err := time.Parse(time.RFC3339, from)
		if err != nil {
			t.Fatal(err)
		}
		c := NewClock(begin)
		o := Options{Seed: 1, Begin: begin, End: begin.Add(Week), Zone: "UTC", Token: "secret"}
		made, err := Make(t.Context(), open(t, c), c, o)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []event.Code{
			event.MessageQuotaExceeded, event.OTAQuotaExceeded, event.LicenseExhausted, event.NotActivated, event.Suspended,
			event.RenewalOff,
		} {
			if made.Denied[code] == 0 {
				t.Errorf("in the week from %s nothing was denied with %s", from, code)
			}
		}
	}
}

// TestMakeEnds: with its context, and where it is refused.
func TestMakeEnds(t *testing.T) {
	c := NewClock(begin())
	e := open(t, c)
	o := Options{Seed: 1, Begin: begin(), End: begin().Add(Week), Zone: "UTC", Token: "secret"}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Make(ctx, e, c, o); !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	bad := o
	bad.Token, bad.End = "", o.Begin
	if _, err := Make(t.Context(), e, c, bad); err == nil || !strings.Contains(err.Error(), "Token") ||
		!strings.Contains(err.Error(), "a week from") {
		t.Errorf("bad options: %v", err)
	}
	taken := account(huaxin, license.Personal)
	if err := e.Administer(adminName, nil, taken); err != nil {
		t.Fatal(err)
	}
	if _, err := Make(t.Context(), e, c, o); err == nil || !strings.Contains(err.Error(), huaxin) {
		t.Errorf("in an engine that has the account it ended with %v", err)
	}
}

// TestLook: at each aligned instant of the last two days, and every five minutes before, products have used what the
// engine's own counters come to in the end.
func TestLook(t *testing.T) {
	c := NewClock(begin())
	e := open(t, c)
	o := Options{Seed: 1, Begin: begin(), End: begin().Add(50 * time.Hour), Zone: "UTC", Token: "secret"}
	if testing.Short() {
		o.End = begin().Add(3 * time.Hour)
	}
	var last int64
	looks, up, denied := 0, uint64(0), uint64(0)
	o.Look = func(atMs int64, used map[string]*Used) {
		every := fineEveryMs
		if atMs < o.End.UnixMilli()-fineForMs {
			every = thinEveryMs
		}
		if looks++; atMs%every != 0 || last > 0 && atMs-last > thinEveryMs || atMs <= last {
			t.Fatalf("a look at %d, after one at %d", atMs, last)
		}
		if now := e.NowMs(); now > atMs {
			t.Fatalf("a look at %d, when it was %d", atMs, now)
		}
		last, up, denied = atMs, 0, 0
		for _, u := range used {
			up += u.Up + u.Down
			for code := range u.DeniedUp {
				denied += u.DeniedUp[code] + u.DeniedDown[code]
			}
		}
	}
	made, err := Make(t.Context(), e, c, o)
	if err != nil {
		t.Fatal(err)
	}
	fine := min(o.End.Sub(o.Begin).Milliseconds(), fineForMs)
	if int64(looks) < fine/fineEveryMs || o.End.UnixMilli()-last > fineEveryMs {
		t.Errorf("%d looks, the last one at %d of a week that ends at %d", looks, last, o.End.UnixMilli())
	}
	if up == 0 || up > made.Accepted || denied > made.DeniedAll() {
		t.Errorf("%d messages and %d denied were seen of %+v", up, denied, made)
	}
}
