package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
	"github.com/meterd/meterd/usage/snapshot"
	"github.com/meterd/meterd/usage/snapshot/export"
	"github.com/meterd/meterd/usage/snapshot/rows"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// snapshots is what makes, keeps and exports sealed snapshots.
type snapshots struct {
	*sealed.Maker
	*sealed.Store
	schedule sealed.Schedule
	exporter *export.Exporter // nil without --export-to
	end      context.CancelFunc
	running  sync.WaitGroup
}

// openSnapshots opens what lies in the data directory. Nothing is made or exported before run.
func openSnapshots(
	o *serveOptions, dir *disk.Dir, cell api.Cell, of *node, s *state, logger *slog.Logger,
	spread func(context.Context, *sealed.Manifest),
) (*snapshots, error) {
	n := &snapshots{end: func() {}}
	var err error
	made := sealed.Options{
		Cut:       s.cutter(o.usageRetention),
		Catalogue: s.engine.Catalogue,
		NowMs:     s.engine.NowMs,
		Note:      s.note,
		Audit:     s.audit,
		Spread:    spread,
		Unwritten: unwritten,
		Room:      dir.Guard().Room,
		Keep:      o.snapshotKeep,
		ExportTo:  o.exportTo,
		Logger:    logger,
	}
	if n.schedule, err = sealed.ParseSchedule(o.snapshotAt); err != nil {
		return nil, fmt.Errorf("--snapshot-at %q: %w", o.snapshotAt, err)
	}
	switch {
	case cell.Number > 0:
		n.schedule = sealed.Schedule{} // What is made by itself is of all accounts, and so cell 0's.
	case cell.Of > 1:
		made.Cut, made.Products = of.ofAllCells(made.Cut), of.products(s.engine.Catalogue)
	}
	if s.sealed != nil {
		made.Store, made.Record = s.sealed.store, s.sealed.record
	} else if made.Store, err = sealed.OpenStore(dir.SnapshotsPath(), snapshotPrefix(cell), logger); err != nil {
		return nil, err
	}
	n.Store = made.Store
	if n.Maker, err = sealed.NewMaker(made); err != nil {
		return nil, err
	}
	if o.exportTo == "" {
		return n, nil
	}
	place, err := export.ParsePlace(o.exportTo, os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("--export-to %q: %w", o.exportTo, err)
	}
	n.exporter, err = export.New(export.Options{
		Store: n.Store, Place: place, Name: o.exportTo, NowMs: s.engine.NowMs, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// daemonName is who has made what the daemon makes by itself, in the audit log.
const daemonName = "meterd"

// cutter opens the state and the ledger as they stood at one group.
func (s *state) cutter(
	retention time.Duration,
) func(ctx context.Context, account string, month uint32) (snapshot.Source, error) {
	return func(ctx context.Context, account string, month uint32) (snapshot.Source, error) {
		var at *usage.Instant
		cut, err := s.engine.Cut(ctx, func(views.Position) (err error) {
			at, err = s.ledger.Instant()
			return err
		})
		if err != nil {
			if at != nil {
				err = errors.Join(err, at.Close())
			}
			return nil, err
		}
		return rows.Open(rows.Options{
			State: rows.State{
				Group: cut.At.Seq, AtMs: cut.LastMs, Catalogue: cut.Catalogue, Totals: cut.Totals.Of, Devices: cut.Devices,
				KeyOf: cut.KeyOf, Ordinals: cut.Ordinals, Close: cut.Close,
			},
			Ledger: at, Account: account, Month: month, Retention: retention,
		}), nil
	}
}

// note writes an entry of the audit log in the daemon's own name.
func (s *state) note(action, target string, detail any) error {
	return s.engine.Administer(daemonName, nil,
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			next, ch := c.Note(by, action, target, detail)
			return next, ch, nil
		})
}

// audit reads the audit log behind a change, with everything that was answered before.
func (s *state) audit(after uint64, fn func(license.AuditEntry) bool) error {
	if err := s.engine.DurableInLedger(); err != nil {
		return err
	}
	return s.ledger.AuditFrom(after, fn)
}

// unwritten reports whether an error of a change of administration says for certain that nothing was written. While the
// engine stops that is not known.
func unwritten(err error) bool {
	return errors.Is(err, shard.ErrTokenRevoked) || errors.Is(err, shard.ErrDiskFull)
}

// run begins to make what is due and to export.
func (n *snapshots) run(dir *disk.Dir) {
	ctx, cancel := context.WithCancel(context.Background())
	n.end = cancel
	n.running.Go(func() { n.Run(ctx, n.schedule, dir.CreatedAt()) })
	if n.exporter != nil {
		n.running.Go(func() { n.exporter.Run(ctx) })
	}
}

// register adds what is known of snapshots to a set.
func (n *snapshots) register(set *metric.Set) {
	n.RegisterMetrics(set)
	if n.exporter != nil {
		n.exporter.RegisterMetrics(set)
	}
}

// close ends what is being made and exported, and returns when the engine is used no more.
func (n *snapshots) close() {
	n.end()
	n.Close()
	n.running.Wait()
}
