package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/cluster/cells"
	"github.com/meterd/meterd/cluster/names"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/console/web"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/usage/history"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// daemon is everything that serve holds open.
type daemon struct {
	o      *serveOptions
	logger *slog.Logger
	server *ingest.Server
	tls    *tls.Config  // nil: without
	hop    access.Hop   // of its cluster
	cell   api.Cell     // of its cluster
	names  *names.Owner // nil: there is no other cell
	node   *node        // nil without a cluster
	// spread waits until the standbys have a sealed snapshot; nil without a cluster.
	spread func(context.Context, *sealed.Manifest)
	// isFirst says that nobody has owned its cell before.
	isFirst bool
	set     *metric.Set
	dir     *disk.Dir
	alone   bool // dir is closed with it
	state   *state
	engine  *shard.Engine
	// history is nil if it is switched off.
	history *history.History
	ready   atomic.Bool

	people    *api.Handler
	gateways  *ingest.Handler
	nodes     *cells.Door // nil without a cluster
	snapshots *snapshots
	demo      runningDemo

	// tokenPath is where the first administrator's token lies; empty: it is made elsewhere.
	tokenPath string

	running    context.Context // until background
	background context.CancelFunc
	runDry     sync.WaitGroup // reads the state until background
	failOnce   sync.Once
	failure    error
	fail       chan struct{}
}

// openDaemon listens first, so that /livez answers while the state is recovered, and becomes ready when everything is
// open.
func openDaemon(ctx context.Context, o *serveOptions, logger *slog.Logger) (*daemon, error) {
	d := newDaemon(o, logger)
	d.alone = true
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func newDaemon(o *serveOptions, logger *slog.Logger) *daemon {
	return &daemon{
		o: o, logger: logger, fail: make(chan struct{}), background: func() {},
		tokenPath: filepath.Join(o.data, adminTokenFile),
	}
}

func (d *daemon) open(told context.Context) error {
	o := d.o
	var err error
	where := disk.DirOptions{
		Path: o.data, Region: o.region, Space: disk.SpaceOptions{StopBytes: o.diskStopBytes}, Logger: d.logger,
	}
	o.demoOptions(&where)
	if d.dir, err = disk.OpenDir(where); err != nil {
		return err
	}
	if d.tls, err = tlsConfig(o, nil); err != nil {
		return err
	}
	if err := d.listen(); err != nil {
		return err
	}
	if err := d.prepareDemo(told); err != nil {
		return err
	}
	if d.state, err = openState(o, d.dir, stateOptions{failed: d.failWith}, d.logger); err != nil {
		return err
	}
	if n := d.state.engine.Catalogue().NamesElsewhere(); n > 0 {
		d.logger.Warn("this directory is a copy of cell 0 of a cluster: names that its other cells had are taken here, too, "+
			"and whoever wants to create one is answered 409", "names", n)
	}
	debug.FreeOSMemory() // What recovery needed, 20 bytes a device, would stay for minutes.
	ctx := d.begin()
	go d.dir.Guard().Run(ctx, guardEvery, d.failWith)
	d.state.keep(ctx, d.state.engine, d.dir.Guard(), d.logger)
	if err := d.openRooms(); err != nil {
		return err
	}
	d.ready.Store(true)
	d.logger.Info("ready", "address", d.server.Address().String(), "data", o.data, "version", version)
	return nil
}

// listen takes connections, and answers /livez.
func (d *daemon) listen() (err error) {
	d.server, err = ingest.Listen(d.o.listen, d.tls, ingest.Starting, d.logger)
	return err
}

// begin begins what runs in the background until close.
func (d *daemon) begin() context.Context {
	d.running, d.background = context.WithCancel(context.Background())
	return d.running
}

// openRooms opens what works on the state, and the doors last of all.
func (d *daemon) openRooms() (err error) {
	d.engine = d.state.engine
	ctx := d.running
	if d.history, err = openHistory(d.o, d.state, d.dir, d.logger); err != nil {
		return err
	}
	if d.tokenPath != "" {
		if err := firstToken(d.engine, d.tokenPath, d.logger); err != nil {
			return err
		}
	}
	if d.snapshots, err = openSnapshots(d.o, d.dir, d.cell, d.node, d.state, d.logger, d.spread); err != nil {
		return err
	}
	d.snapshots.run(d.dir)
	return d.openDoors(ctx)
}

func (d *daemon) openDoors(ctx context.Context) error {
	set := metric.NewSet()
	d.set = set
	d.engine.RegisterMetrics(set)
	d.server.RegisterMetrics(set)
	d.state.webhooks.RegisterMetrics(set)
	products := registerRunDry(set)
	d.runDry.Go(func() { watchRunDry(ctx, d.state.reader, products) })
	d.snapshots.register(set)
	d.state.raw.RegisterMetrics(set)
	d.state.health.register(set)
	meter := disk.NewMeter(d.dir, d.logger)
	go meter.Run(ctx, meterEvery)
	registerDiskUse(set, meter)
	set.Gauges("meterd_log_erase_within_seconds", "How long erased payloads may stay on the disk: --erase-within.").
		Func(d.o.eraseWithin.Seconds)
	host, _, err := net.SplitHostPort(d.o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	o := api.Options{
		Engine:    d.engine,
		Queries:   d.state.reader,
		Snapshots: d.snapshots,
		Webhooks:  d.state.webhooks,
		Logger:    d.logger,
		Metrics:   set,
		Ready:     d.ready.Load,
		Loopback:  loopback(host),
		TimeZone:  d.o.zone,
		DiskFree:  d.dir.Guard().FreeBytes,
		Disk:      func() api.Disk { return diskUse(meter) },
		Health:    d.state.health.Status,
		Version:   version,
		Demo:      d.demo.token != "",
		Cluster:   d.o.cluster.name,
		Hop:       d.hop,
		Cell:      d.cell,
	}
	o.Backup = func(ctx context.Context) (*backup.Cut, error) { return backup.Open(ctx, d.backupSource()) }
	if d.history != nil {
		d.history.RegisterMetrics(set)
		o.History = d.history
	}
	if d.people, err = api.New(o); err != nil {
		return err
	}
	pages, err := web.New(d.people.Handle)
	if err != nil {
		return err
	}
	people, err := d.forNodes(d.sendsParts(pages.Handle))
	if err != nil {
		return err
	}
	gateways, err := ingest.NewHandler(ingest.Options{Engine: d.engine, People: people, Hop: d.hop})
	if err != nil {
		return err
	}
	gateways.RegisterMetrics(set)
	d.gateways = gateways
	return d.server.Open(gateways)
}

// failWith notes the first failure; the process ends then, without another answer.
func (d *daemon) failWith(err error) {
	d.failOnce.Do(func() {
		d.failure = err
		close(d.fail)
	})
}

// failed is closed when the daemon cannot go on.
func (d *daemon) failed() <-chan struct{} {
	go func() {
		<-d.engine.Failed()
		d.failWith(d.engine.Err())
	}()
	return d.fail
}

func (d *daemon) err() error { return d.failure }

// rest ends the doors: requests in hand are answered, or their connections closed. Then nothing is decided any more.
func (d *daemon) rest() {
	d.ready.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), restWithin)
	defer cancel()
	d.nodes.Close()
	d.gateways.Close()
	d.gateways.Finish(ctx)
	d.gateways = nil
	_ = d.server.Shutdown(ctx) // Who is not answered in time is cut off, and sends again elsewhere.
	d.server = nil
	d.endNames()
	d.state.halt()
}

// drop closes everything at once: who waits for an answer gets none, and no checkpoint is written.
func (d *daemon) drop() error {
	d.ready.Store(false)
	d.state.halt()
	d.nodes.Close()
	if d.gateways != nil {
		d.gateways.Close()
	}
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), restWithin)
		defer cancel()
		_ = d.server.Shutdown(ctx) // Connections are cut.
		d.server = nil
	}
	return d.close()
}

// stop takes no more requests, finishes those in hand and flushes.
func (d *daemon) stop(drain time.Duration) error {
	d.ready.Store(false)
	d.endDemo()
	d.logger.Info("stopping", "drain_seconds", drain.Seconds())
	if drain > 0 {
		select {
		case <-time.After(drain):
		case <-d.fail:
		}
	}
	d.nodes.Close()
	d.gateways.Close()
	ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
	defer cancel()
	d.gateways.Finish(ctx)
	if err := d.server.Shutdown(ctx); err != nil {
		// Requests that are still coming in were not decided; their gateways send them again.
		d.logger.Warn("connections were cut", "error", err)
	}
	d.server = nil
	err := d.close()
	if err == nil {
		d.logger.Info("stopped")
	}
	return err
}

// close closes what is open, in the order in which it depends on each other.
func (d *daemon) close() error {
	var errs []error
	d.endDemo()
	d.endNames()
	d.background()
	d.runDry.Wait()
	if d.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
		defer cancel()
		errs = append(errs, d.server.Shutdown(ctx))
	}
	if d.snapshots != nil {
		d.snapshots.close()
	}
	if d.history != nil {
		errs = append(errs, d.history.Close()) // It looks at the state.
	}
	if d.state != nil {
		errs = append(errs, d.state.close())
	}
	if d.dir != nil && d.alone {
		errs = append(errs, d.dir.Close())
	}
	return errors.Join(errs...)
}
