package verify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/usage"
)

// handClock is a clock that a test moves.
type handClock struct {
	mu      sync.Mutex
	wall    time.Time
	running time.Duration
}

func (c *handClock) Now() (time.Time, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wall, c.running
}

func (c *handClock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wall, c.running = c.wall.Add(d), c.running+d
}

// daemon is the real engine on a data directory of its own.
type daemon struct {
	t      testing.TB
	path   string
	clock  *handClock
	engine *shard.Engine
	log    *commitlog.Log
	close  func() error
	// appends, if it is not nil, is the log that the engine gets.
	appends func(*commitlog.Log) shard.Log
}

const testRetention = 7 * 24 * time.Hour

func newDaemon(t testing.TB) *daemon {
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{
		t: t, path: filepath.Join(dir, "data"), clock: &handClock{wall: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)},
	}
	d.open()
	return d
}

func (d *daemon) open() {
	d.t.Helper()
	dir, err := disk.OpenDir(disk.DirOptions{
		Path: d.path, Region: "default",
		Space: disk.SpaceOptions{BallastBytes: 1 << 16, Free: func(string) (uint64, error) { return 1 << 40, nil }},
	})
	d.must(err)
	d.log, err = commitlog.Open(commitlog.Options{
		Path: dir.LogPath(), Retention: testRetention, SegmentBytes: commitlog.SegmentBytesMin,
	})
	d.must(err)
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	d.must(err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	d.must(err)
	var log shard.Log = d.log
	if d.appends != nil {
		log = d.appends(d.log)
	}
	d.engine, err = shard.Open(shard.Options{
		Log: log, Ledger: usage.New(usage.Options{Store: store}), Checkpoints: checkpoints, Guard: dir.Guard(),
		Clock: d.clock, HashSeed: 42, Region: dir.Region(), Retention: testRetention, Lanes: 3,
	})
	d.must(err)
	d.close = func() error { return errors.Join(d.engine.Close(), d.log.Close(), store.Close(), dir.Close()) }
}

func (d *daemon) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) administer(change shard.ChangeFunc) {
	d.t.Helper()
	d.must(d.engine.Administer("test", nil, change))
}

// product creates a product with a personal account of its own, and a lot.
func (d *daemon) product(name, zone, plan string, licenses uint64) {
	d.t.Helper()
	var patch license.PlanPatch
	d.must(patch.UnmarshalJSON([]byte(plan)))
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateAccount(by, "acc-"+name, license.Personal, "")
		return next, ch, err
	})
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateProduct(
			by, license.ProductSpec{Name: name, Account: "acc-" + name, Zone: zone, Plan: patch},
		)
		return next, ch, err
	})
	d.credit(name, "LOT-1", licenses, false)
}

func (d *daemon) credit(product, order string, n uint64, units bool) {
	d.t.Helper()
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: n, Units: units})
		return next, ch, err
	})
}

// mode says what the quotas of a product do.
func (d *daemon) mode(product, mode string) {
	d.t.Helper()
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.SetEnforcement(by, product, mode)
		return next, ch, err
	})
}

// request decodes lines of NDJSON.
func (d *daemon) request(lines string) *shard.Request {
	d.t.Helper()
	r := &shard.Request{Batch: &event.Batch{}}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines)); p != nil {
		d.t.Fatal(p)
	}
	return r
}

func (d *daemon) submit(lines string) {
	d.t.Helper()
	d.must(d.engine.Submit(d.request(lines)))
}

// randomRounds lets concurrent gateways send everything there is to a few devices, over days and months.
func (d *daemon) randomRounds(r *rand.Rand, rounds int) {
	d.t.Helper()
	kinds := []string{"connect", "up", "up", "up", "down", "ota", "disconnect", "connect", "ota", "ota_void", "ota_void"}
	products := []string{"p", "q", "r"}
	for range rounds {
		done := make(chan error, 3)
		for range 3 {
			var b strings.Builder
			for range 1 + r.IntN(30) {
				kind := kinds[r.IntN(len(kinds))]
				size, id := r.IntN(300), ""
				if kind == "ota" {
					size = 5<<20*r.IntN(3) + 1
				}
				if kind == "ota_void" || kind == "ota" && r.IntN(2) == 0 {
					id = fmt.Sprintf(`,"id":"u%d"`, r.IntN(30))
				}
				fmt.Fprintf(&b, "{\"type\":%q,\"product\":%q,\"device\":\"d%d\",\"size\":%d%s}\n", kind,
					products[r.IntN(len(products))], r.IntN(6), size, id)
			}
			req, e := d.request(b.String()), d.engine
			req.Producer = []byte("gw")
			go func() { done <- e.Submit(req) }()
		}
		for range 3 {
			d.must(<-done)
		}
		d.randomChange(r)
	}
}

func (d *daemon) randomChange(r *rand.Rand) {
	d.t.Helper()
	switch r.IntN(10) {
	case 0:
		d.clock.pass(25 * time.Hour)
	case 1:
		d.clock.pass(12 * 24 * time.Hour)
	case 2:
		d.credit("p", fmt.Sprint("LOT-", r.Uint64()), 2, false)
	case 3:
		d.credit("q", fmt.Sprint("PACK-", r.Uint64()), 3, true)
	case 4:
		d.must(d.engine.Checkpoint())
	case 5:
		d.must(d.close())
		d.open()
		d.awaitDays()
	case 6:
		d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			var patch license.PlanPatch
			n := c.Product([]byte("p")).Plan.MessagesPerDay + 1
			if err := patch.UnmarshalJSON(fmt.Appendf(nil, `{"messages_per_day":%d}`, n)); err != nil {
				return nil, nil, err
			}
			next, ch, _, err := c.SetPlan(by, "p", patch)
			return next, ch, err
		})
	case 7:
		d.mode([]string{"p", "q"}[r.IntN(2)], []string{license.ModeObserve, license.ModeEnforce}[r.IntN(2)])
	default:
		d.clock.pass(time.Duration(r.IntN(40)) * time.Minute)
	}
}

// catchUp closes the days that are over, which the engine does by itself within a second.
func (d *daemon) catchUp() {
	d.t.Helper()
	_, err := d.engine.CatchUp()
	d.must(err)
}

// awaitDays returns when the engine, which was just opened, has closed all days that are over.
func (d *daemon) awaitDays() {
	d.t.Helper()
	for id := range d.engine.Catalogue().ProductIDMax() {
		p := d.engine.Catalogue().ProductByID(id + 1)
		for p.State.Days.Before(p.Window(d.engine.NowMs()).Day) {
			d.must(d.engine.Durable())
		}
	}
}

// runVerify runs a verification of a directory.
func runVerify(t testing.TB, path string) (*Report, error) {
	t.Helper()
	dir, err := disk.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	return Run(Options{Dir: dir, Snapshots: os.DirFS(dir.SnapshotsPath()), Scratch: t.TempDir()})
}

// clean demands that there is no difference.
func clean(t testing.TB, path string) *Report {
	t.Helper()
	r, err := runVerify(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Difference != nil {
		t.Fatalf("difference: %v\n%+v", r.Difference, r.Figures)
	}
	return r
}
