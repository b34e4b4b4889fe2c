package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"sync"
	"time"

	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/shard/rawlog"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/usage"
	"github.com/meterd/meterd/webhook"
)

// state is the engine with the log and the ledger that it works on, and what reads them.
type state struct {
	log      *commitlog.Log
	ledger   *usage.Ledger
	raw      *rawlog.View
	webhooks *webhook.Service
	options  shard.Options
	standby  *shard.Standby // of a cell, until it is promoted
	engine   *shard.Engine
	halted   bool // the engine was dropped
	reader   *query.Reader
	files    files
	seed     [16]byte
	health   health
	isOfCell bool
	every    time.Duration // --scrub-every
	pace     *bytePace
	kept     sync.WaitGroup // what keep began
	sealed   *sealedCopy    // of a cluster
}

// stateOptions are what flags do not say.
type stateOptions struct {
	clock shard.Clock // nil: the machine's
	// archiveRunAge is how old rows are when the archive writes them, 0: the archive's own.
	archiveRunAge time.Duration
	failed        func(error) // is told of what the log cannot go on after
	segmentBytes  int64       // 0: the log's own
	// seed is the cell's: what its log says of devices depends on it. nil: the directory's.
	seed   *[16]byte
	unsafe func() bool // shard.Options.Unsafe
	// fault is set of a cell's copy, which can be made anew: it is told what is damaged in it, or has failed for ever,
	// while it is open. nil: the log is told.
	fault func(error)
	// losesHooks has queues of webhooks that are damaged moved aside although the copy can be made anew: nobody could copy
	// it.
	losesHooks bool
	pace       *bytePace // of all cells; nil: its own
}

// openState recovers the state of a data directory.
func openState(o *serveOptions, dir *disk.Dir, more stateOptions, logger *slog.Logger) (*state, error) {
	s := &state{}
	err := s.open(o, dir, more, logger)
	if err == nil {
		s.engine, err = shard.Open(s.options)
	}
	if err == nil {
		err = s.begin(o, logger)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open data directory %q: %w", dir.Path(), err), s.close())
	}
	return s, nil
}

// openStandby recovers the state of a cell's directory, which follows the log until the cell is owned.
func openStandby(o *serveOptions, dir *disk.Dir, more stateOptions, logger *slog.Logger) (*state, error) {
	s := &state{}
	err := s.open(o, dir, more, logger)
	if err == nil {
		s.standby, err = shard.OpenStandby(s.options)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open data directory %q: %w", dir.Path(), err), s.close())
	}
	s.raw.SetAdministration(s.standby)
	return s, nil
}

// promote makes a standby an engine that appends to the log of the cell's owner.
func (s *state) promote(o *serveOptions, log shard.Log, barrier func() error, logger *slog.Logger) (err error) {
	if s.engine, err = s.standby.Promote(log, barrier); err != nil {
		return err
	}
	s.raw.SetSource(nil)
	return s.begin(o, logger)
}

// begin has everything work that asks the engine.
func (s *state) begin(o *serveOptions, logger *slog.Logger) (err error) {
	s.raw.SetAdministration(s.engine)
	s.reader, err = query.New(query.Options{
		Engine: s.engine, RawLog: s.raw, Ledger: s.ledger, Retention: o.retention, Logger: logger,
		UsageRetention: o.usageRetention,
	})
	if err != nil {
		return err
	}
	return s.webhooks.Start(s.engine, s.reader)
}

// open opens the log and what follows it.
func (s *state) open(o *serveOptions, dir *disk.Dir, more stateOptions, logger *slog.Logger) (err error) {
	s.log, err = commitlog.Open(commitlog.Options{
		Path: dir.LogPath(), SegmentBytes: more.segmentBytes, Retention: o.retention, Fatal: more.failed, Logger: logger,
		Room: func() bool { return !dir.Guard().Low() }, Archived: true,
	})
	if err != nil {
		return err
	}
	s.watch(o, more, logger)
	if s.raw, s.files.archive, err = s.openRawLog(o, dir, more, logger); err != nil {
		return err
	}
	if s.files.ledger, err = openLedger(s.storeOptions(dir.LedgerPath(), logger), s.log.First() == 1); err != nil {
		return err
	}
	s.ledger = usage.New(usage.Options{Store: s.files.ledger, Retention: o.usageRetention})
	if s.webhooks, s.files.webhooks, err = s.openWebhooks(o, dir, more, logger); err != nil {
		return err
	}
	if s.files.checkpoints, err = disk.OpenCheckpoints(dir.CheckpointPath()); err != nil {
		return err
	}
	keep, err := logPayloadBytes(o.logPayload)
	if err != nil {
		return err
	}
	if more.clock == nil {
		more.clock = shard.NewSystemClock()
	}
	s.seed = dir.HashSeed()
	if more.seed != nil {
		s.seed = *more.seed
	}
	s.options = shard.Options{
		Log: s.log, Ledger: s.ledger, Views: []views.View{s.webhooks, s.raw}, Eraser: s.raw,
		Checkpoints: s.files.checkpoints, Guard: dir.Guard(), Unsafe: more.unsafe,
		Clock:    more.clock,
		HashSeed: binary.LittleEndian.Uint64(s.seed[:8]) | 1, Region: o.region, Retention: o.retention,
		CheckpointEvery: o.checkpointEvery, AcceptViewGap: o.acceptViewGap, LogPayloadBytes: keep, Logger: logger,
		ViewFailed: s.health.view,
	}
	return nil
}

// watch has somebody be told what goes bad while the state is open.
func (s *state) watch(o *serveOptions, more stateOptions, logger *slog.Logger) {
	s.isOfCell, s.every, s.pace = more.fault != nil, o.scrubEvery, more.pace
	if s.pace == nil {
		s.pace = &bytePace{perSecond: scrubBytesPerSecond}
	}
	s.health.tell = more.fault
	if s.health.tell == nil {
		s.health.tell = func(err error) {
			logger.Error("something on the disk is damaged, or has failed for ever; decisions go on", "error", err)
		}
	}
}

// storeOptions are those of the ledger, or of the queues of the webhooks. On a node alone one that has failed stays as
// it is until the process ends.
func (s *state) storeOptions(path string, logger *slog.Logger) ledger.Options {
	o := ledger.Options{Path: path, Logger: logger}
	if s.isOfCell {
		o.Failed = s.health.failed
	}
	return o
}

// openWebhooks opens the queues of the webhooks. Damaged ones are moved aside, unless the copy can be made anew: what
// was in them is lost, and new ones begin at the end of the log.
func (s *state) openWebhooks(
	o *serveOptions, dir *disk.Dir, more stateOptions, logger *slog.Logger,
) (*webhook.Service, *ledger.Store, error) {
	path, log := dir.WebhooksPath(), s.log
	store, err := ledger.Open(s.storeOptions(path, logger))
	if errors.Is(err, disk.ErrDamaged) && (!s.isOfCell || more.losesHooks) {
		aside := path + ".damaged"
		logger.Error("the queues of the webhooks are damaged: they are moved aside, and what was in them is not delivered",
			"moved_to", aside, "error", err)
		if err := errors.Join(os.RemoveAll(aside), os.Rename(path, aside)); err != nil {
			return nil, nil, fmt.Errorf("move the damaged queues of the webhooks aside: %w", err)
		}
		store, err = ledger.Open(s.storeOptions(path, logger))
	}
	if err != nil {
		return nil, nil, err
	}
	seq, _, chain := log.Last()
	hooks, err := webhook.Open(webhook.Options{
		Store: store, End: views.Position{Seq: seq, Chain: chain}, Low: dir.Guard().Low, Full: dir.Guard().Exhausted,
		Logger: logger, AllowPrivate: o.webhookAllowPrivate, Version: version,
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open the queues of the webhooks %q: %w", path, err), store.Close())
	}
	return hooks, store, nil
}

// openRawLog opens the archive of the log's events. One that is made for an older log begins where that begins.
func (s *state) openRawLog(
	o *serveOptions, dir *disk.Dir, more stateOptions, logger *slog.Logger,
) (*rawlog.View, *archive.Store, error) {
	store, err := archive.Open(archive.Options{
		Path:       dir.ArchivePath(),
		Retention:  o.retention,
		Room:       dir.Guard().ArchiveRoom,
		Spare:      dir.Guard().Room,
		Logger:     logger,
		BytesMax:   int64(o.logMaxBytes),
		EraseAfter: o.eraseAfter(),
		RunAge:     more.archiveRunAge,
		Damaged:    s.health.failed,
	})
	if err != nil {
		return nil, nil, fmt.Errorf(
			"%w; or move %q away and start once with --accept-view-gap: events that are gone from the "+
				"log can then no longer be read",
			err,
			dir.ArchivePath(),
		)
	}
	log := s.log
	view, err := rawlog.New(rawlog.Options{Store: store, Log: log, Retention: o.retention, Logger: logger})
	if err != nil {
		return nil, nil, errors.Join(err, store.Close())
	}
	if first := log.First(); store.IsNew() && first > 1 {
		if err := beginAt(view, log, first); err != nil {
			return nil, nil, errors.Join(err, store.Close())
		}
	}
	return view, store, nil
}

// beginAt has a view that is new begin with the first group of the log.
func beginAt(view views.View, log *commitlog.Log, first uint64) error {
	chain, err := log.ChainOf(first - 1)
	if err != nil {
		return err
	}
	var b commitlog.Block
	if err := log.ReadForward(context.Background(), first-1, 0, math.MaxInt64, 1, &b); err != nil {
		return err
	}
	_, fromMs, _ := log.Last()
	if len(b.Groups) > 0 {
		fromMs = b.Groups[0].FirstMs
	}
	return view.Skip(views.Position{Seq: first - 1, Chain: chain}, fromMs)
}

// openLedger opens the ledger. A damaged one is moved aside if the log is whole and can build it again; otherwise an
// operator must decide.
func openLedger(o ledger.Options, rebuilds bool) (*ledger.Store, error) {
	path, logger := o.Path, o.Logger
	store, err := ledger.Open(o)
	switch {
	case err == nil:
	case !errors.Is(err, disk.ErrDamaged):
		return nil, err
	case !rebuilds:
		return nil, fmt.Errorf("%w; the log no longer reaches back to its beginning: put the ledger back from a backup, or "+
			"move %q away and start once with --accept-view-gap", err, path)
	default:
		aside := path + ".damaged"
		logger.Error("the ledger is damaged: it is moved aside and built again from the log", "moved_to", aside, "error", err)
		if err := errors.Join(os.RemoveAll(aside), os.Rename(path, aside)); err != nil {
			return nil, fmt.Errorf("move the damaged ledger aside: %w", err)
		}
		if store, err = ledger.Open(o); err != nil {
			return nil, err
		}
	}
	return store, nil
}

// pace is what the disk is kept by, of an engine or of a standby.
type pace interface {
	NowMs() int64
	CountedMs() int64
	RowsLogged() uint64
}

// keep keeps ledger and archive in order until ctx ends: it gives back their space, but not while the disk runs short,
// since that writes before it frees. It goes by the engine's time, so that a clock that leaps ahead (R12) deletes
// nothing that is not over. A ledger that has failed stops nothing else.
func (s *state) keep(ctx context.Context, p pace, guard *disk.Guard, logger *slog.Logger) {
	s.kept.Go(func() {
		s.raw.Maintain(ctx, rawlog.Upkeep{Now: p.NowMs, Rows: p.RowsLogged, Low: guard.Low, CountedMs: p.CountedMs})
	})
	s.kept.Go(func() {
		if err := s.ledger.Maintain(ctx, p.NowMs, func() bool { return !guard.Low() }); err != nil {
			logger.Error("the ledger has failed", "error", err)
		}
	})
	if s.every > 0 {
		s.kept.Go(func() { s.scrub(ctx, s.every, s.pace) })
	}
}

// close closes what is open, when what keep was told has ended, in the order in which it depends on each other.
func (s *state) close() error {
	var errs []error
	if s.webhooks != nil {
		s.webhooks.Stop()
	}
	switch {
	case s.halted:
	case s.engine != nil:
		errs = append(errs, s.engine.Close())
	case s.standby != nil:
		errs = append(errs, s.standby.Close())
	}
	return errors.Join(append(errs, s.closeFiles())...)
}

// halt stops the engine where it stands: what it holds is not to be kept.
func (s *state) halt() {
	if s.engine != nil && !s.halted {
		s.halted = true
		s.engine.Drop()
	}
}

func (s *state) closeFiles() error {
	var errs []error
	s.kept.Wait()
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.ledger != nil {
		errs = append(errs, s.letGo(s.ledger.Close()))
	}
	if s.webhooks != nil {
		errs = append(errs, s.letGo(s.webhooks.Close()))
	}
	if s.raw != nil {
		errs = append(errs, s.raw.Close())
	}
	return errors.Join(errs...)
}

// letGo returns why a ledger could not be closed. That the one of a cell's copy had failed was told, and hinders nobody
// from making the copy anew.
func (s *state) letGo(err error) error {
	if s.isOfCell && errors.Is(err, ledger.ErrFailed) {
		return nil
	}
	return err
}
