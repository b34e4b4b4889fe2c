package query

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/rawlog"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
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

// brokenLedger is a ledger whose lists cannot be read, while err is set.
type brokenLedger struct {
	*usage.Ledger
	err error
}

func (l *brokenLedger) Audit(before uint64, fn func(license.AuditEntry) bool) error {
	return errors.Join(l.err, l.Ledger.Audit(before, fn))
}

func (l *brokenLedger) TotalsAt(at []record.Bucket, sums []record.Totals) (uint32, error) {
	from, err := l.Ledger.TotalsAt(at, sums)
	return from, errors.Join(l.err, err)
}

func (l *brokenLedger) EachDeviceDay(
	product, day uint32, from, to uint64, fn func(*views.DeviceDay) error,
) error {
	return errors.Join(l.err, l.Ledger.EachDeviceDay(product, day, from, to, fn))
}

func (l *brokenLedger) DeviceDays(product uint32, ordinal uint64, from, to uint32) ([]views.UsedDay, error) {
	list, err := l.Ledger.DeviceDays(product, ordinal, from, to)
	return list, errors.Join(l.err, err)
}

// daemon is an engine on a data directory of its own, and what reads it.
type daemon struct {
	t      testing.TB
	path   string
	clock  *handClock
	engine *shard.Engine
	ledger *brokenLedger
	close  func() error
	kept   time.Duration // usage retention
	*Reader
}

var testStart = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

func newDaemon(t testing.TB) *daemon {
	d := &daemon{t: t, path: filepath.Join(t.TempDir(), "data"), clock: &handClock{wall: testStart}}
	d.open()
	t.Cleanup(func() { d.must(d.close()) })
	return d
}

func (d *daemon) open() {
	d.t.Helper()
	const retention = 168 * time.Hour
	dir, err := disk.OpenDir(disk.DirOptions{
		Path: d.path, Region: "default",
		Space: disk.SpaceOptions{BallastBytes: 1 << 16, Free: func(string) (uint64, error) { return 1 << 40, nil }},
	})
	d.must(err)
	log, err := commitlog.Open(commitlog.Options{Path: dir.LogPath(), Retention: retention, SegmentBytes: 1 << 20})
	d.must(err)
	store, err := ledger.Open(ledger.Options{Path: dir.LedgerPath()})
	d.must(err)
	checkpoints, err := disk.OpenCheckpoints(dir.CheckpointPath())
	d.must(err)
	rows, err := archive.Open(archive.Options{Path: dir.ArchivePath(), Retention: retention})
	d.must(err)
	raw, err := rawlog.New(rawlog.Options{Store: rows, Log: log, Retention: retention})
	d.must(err)
	d.ledger = &brokenLedger{Ledger: usage.New(usage.Options{Store: store, Retention: d.kept})}
	d.engine, err = shard.Open(shard.Options{
		Log: log, Ledger: d.ledger, Checkpoints: checkpoints, Guard: dir.Guard(), Clock: d.clock, HashSeed: 42,
		Region: dir.Region(), Retention: retention, Views: []views.View{raw},
	})
	d.must(err)
	d.Reader, err = New(Options{
		Engine: d.engine, RawLog: raw, Ledger: d.ledger, Retention: retention, UsageRetention: d.kept,
	})
	d.must(err)
	d.close = func() error {
		return errors.Join(d.engine.Close(), raw.Close(), log.Close(), store.Close(), dir.Close())
	}
}

func (d *daemon) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) restart() {
	d.t.Helper()
	d.must(d.close())
	d.open()
}

func (d *daemon) administer(change shard.ChangeFunc) {
	d.t.Helper()
	d.must(d.engine.Administer("test", nil, change))
}

// product creates a product with a personal account of its own, which is given one licence (R6), and a lot.
func (d *daemon) product(name, plan string, licenses uint64) {
	d.t.Helper()
	var patch license.PlanPatch
	d.must(patch.UnmarshalJSON([]byte(plan)))
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateAccount(by, "acc-"+name, license.Personal, "")
		return next, ch, err
	})
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.CreateProduct(
			by, license.ProductSpec{Name: name, Account: "acc-" + name, Zone: "UTC", Plan: patch},
		)
		return next, ch, err
	})
	d.credit(name, "LOT-1", licenses)
}

func (d *daemon) credit(product, order string, n uint64) {
	d.t.Helper()
	d.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch, _, err := c.ApplyCredit(by, product, license.Credit{Order: order, Quantity: n})
		return next, ch, err
	})
}

func (d *daemon) productOf(name string) *license.Product {
	return d.engine.Catalogue().Product([]byte(name))
}

// submit decides lines of NDJSON.
func (d *daemon) submit(lines string) {
	d.t.Helper()
	r := &shard.Request{Batch: &event.Batch{}}
	if p := wire.DecodeNDJSON(r.Batch, []byte(lines)); p != nil {
		d.t.Fatal(p)
	}
	d.must(d.engine.Submit(r))
}

func line(kind, product, device string) string {
	return fmt.Sprintf("{\"type\":%q,\"product\":%q,\"device\":%q,\"size\":100}\n", kind, product, device)
}

// visit has a device connect and disconnect: it is seen, and not renewed by itself.
func visit(product, device string) string {
	return line("connect", product, device) + line("disconnect", product, device)
}
