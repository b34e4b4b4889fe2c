package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/console/web"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/rawlog"
	"github.com/meterd/meterd/usage/history"
)

// daemon is everything that serve holds open.
type daemon struct {
	o      *serveOptions
	logger *slog.Logger
	server *ingest.Server
	dir    *disk.Dir
	state  *state
	engine *shard.Engine
	// history is nil if it is switched off.
	history *history.History
	ready   atomic.Bool

	people    *api.Handler
	gateways  *ingest.Handler
	snapshots *snapshots
	demo      runningDemo

	background context.CancelFunc
	runDry     sync.WaitGroup // reads the state until background
	failOnce   sync.Once
	failure    error
	fail       chan struct{}
}

// openDaemon listens first, so that /livez answers while the state is recovered, and becomes ready when everything is
// open.
func openDaemon(ctx context.Context, o *serveOptions, logger *slog.Logger) (*daemon, error) {
	d := &daemon{o: o, logger: logger, fail: make(chan struct{}), background: func() {}}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
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
	tls, err := tlsConfig(o)
	if err != nil {
		return err
	}
	if d.server, err = ingest.Listen(o.listen, tls, ingest.Starting, d.logger); err != nil {
		return err
	}
	if err := d.prepareDemo(told); err != nil {
		return err
	}
	if d.state, err = openState(told, o, d.dir, stateOptions{failed: d.failWith}, d.logger); err != nil {
		return err
	}
	d.engine = d.state.engine
	debug.FreeOSMemory() // What recovery needed, 20 bytes a device, would stay for minutes.
	ctx, cancel := context.WithCancel(context.Background())
	d.background = cancel
	go d.dir.Guard().Run(ctx, guardEvery, d.failWith)
	go d.state.maintain(ctx, d.dir.Guard(), d.logger)
	if d.state.member != nil {
		go prove(ctx, d.engine)
	}
	if d.history, err = openHistory(o, d.state, d.dir, d.logger); err != nil {
		return err
	}
	go d.state.raw.Maintain(ctx, rawlog.Upkeep{
		Now: d.engine.NowMs, Rows: d.engine.RowsLogged, Low: d.dir.Guard().Low, CountedMs: d.engine.CountedMs,
	})
	if err := firstToken(d.engine, d.tokenPath(), d.logger); err != nil {
		return err
	}
	if d.snapshots, err = openSnapshots(o, d.dir, d.state, d.logger); err != nil {
		return err
	}
	d.snapshots.run(d.dir)
	if err := d.openDoors(ctx); err != nil {
		return err
	}
	d.ready.Store(true)
	d.logger.Info("ready", "address", d.server.Address().String(), "data", o.data, "version", version)
	return nil
}

func (d *daemon) openDoors(ctx context.Context) error {
	set := metric.NewSet()
	d.engine.RegisterMetrics(set)
	d.server.RegisterMetrics(set)
	d.state.webhooks.RegisterMetrics(set)
	products := registerRunDry(set)
	d.runDry.Go(func() { watchRunDry(ctx, d.state.reader, products) })
	d.snapshots.register(set)
	d.state.raw.RegisterMetrics(set)
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
		Version:   version,
		Demo:      d.demo.token != "",
	}
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
	gateways, err := ingest.NewHandler(ingest.Options{Engine: d.engine, People: pages.Handle})
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
	if d.dir != nil {
		errs = append(errs, d.dir.Close())
	}
	return errors.Join(errs...)
}

// tokenPath is where the first administrator's token lies.
func (d *daemon) tokenPath() string { return filepath.Join(d.o.data, "admin.token") }
