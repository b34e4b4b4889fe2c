package shard

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/duplicates"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/recovery"
	"github.com/meterd/meterd/shard/views"
)

// appender takes the groups.
type appender interface{ Append(*commitlog.Group) error }

// Log is the commit log. The engine calls it through this interface alone; its types are those of retention/log. One
// goroutine appends; what Append returned nil for is durable, and of its group's memory nothing is kept. Reading
// copies: nothing of the log is held when a method has returned.
type Log interface {
	appender
	Replay(from uint64, fn func(*commitlog.Group) error) error
	First() uint64
	Last() (seq uint64, lastMs int64, chain commitlog.Chain)
	ChainOf(seq uint64) (commitlog.Chain, error)
	ReadForward(ctx context.Context, after uint64, fromMs, toMs int64, bytesMax int, b *commitlog.Block) error
	Release(nowMs int64, passed uint64) error
	// Erase begins to free the disk of every byte of the groups up to `through`, which are all that are durable; Erased
	// reports when that is done. Segments go with Release.
	Erase() (through uint64, err error)
	Erased(through uint64) bool
}

// Ledger is the view of the log that keeps licences, totals and the audit log, and what memory has let go of.
type Ledger interface {
	views.View
	Upgrade(product uint32, device, id []byte) (*record.Upgrade, error)
	Answer(producer uint32, sequence uint64) ([]byte, error)
	AuditFrom(after uint64, fn func(license.AuditEntry) bool) error
}

// Checkpoints keeps copies of the state.
type Checkpoints interface {
	Create(begin uint64) (*disk.CheckpointWriter, error)
	// Latest returns the newest installed checkpoint, nil if there is none.
	Latest() (*disk.CheckpointReader, error)
	// Hold is Latest, and keeps the file until the reader is closed.
	Hold() (*disk.CheckpointReader, error)
}

// Guard watches the free space of the disk.
type Guard interface {
	// Low says that views must yield, Stopped that events must not be taken, Exhausted that administration must not
	// either.
	Low() bool
	Stopped() bool
	Exhausted() bool
	Reserve(bytes uint64)
}

// Options is what an Engine is made of.
type Options struct {
	Log    Log
	Ledger Ledger
	// Views follow the log beside the ledger; while the disk runs short those rest that are not slight, the ledger does
	// not.
	Views []views.View
	// Eraser is the view that keeps the log's events; nil: nothing is erased.
	Eraser      Eraser
	Checkpoints Checkpoints
	Guard       Guard
	Clock       Clock
	// Barrier is set if another node may take the log over: it returns nil when it is proved that this engine could
	// still append after the call. Groups without records that somebody waits for call it, so that nothing leaves that
	// was read from a state that is no longer the newest. An error of it is one of Append.
	Barrier func() error
	// Unsafe is set if the log has copies elsewhere: it says that what is appended now could be lost, or not be taken, so
	// events are refused.
	Unsafe func() bool
	// HashSeed keys the device table; it must stay the same for the life of the data directory.
	HashSeed uint64
	Region   string
	// Retention is how long the raw log is kept.
	Retention time.Duration
	// CheckpointEvery is the shortest time between two checkpoints, shortened to a fourteenth of Retention or half a
	// second if it is longer than both; 0 leaves them to Close.
	CheckpointEvery time.Duration
	// ViewFailed is told why a view cannot follow the log, each time that it was tried; enforcement goes on. It must not
	// wait. nil: nobody is told.
	ViewFailed func(error)
	// AcceptViewGap has a view go on although groups that it lacks are gone from the log.
	AcceptViewGap bool
	// LogPayloadBytes is the most of a payload that is logged; 0: all of it, negative: nothing. Of a product whose
	// PayloadOff is set nothing is.
	LogPayloadBytes int
	// Lanes is how many requests decide at once; GOMAXPROCS by default, at most 128.
	Lanes  int
	Logger *slog.Logger

	claims claims.Options                                       // a test's
	cuts   cutBounds                                            // a test's
	grow   func(t *counters.Table, need, budgetBytes int) error // a test's Table.Grow
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("engine: "+what))
		}
	}
	need(
		o.Log != nil && o.Ledger != nil && o.Checkpoints != nil && o.Guard != nil,
		"Log, Ledger, Checkpoints and Guard are needed",
	)
	need(o.Clock != nil, "Clock is needed")
	need(o.HashSeed != 0, "HashSeed is needed")
	need(o.Region != "", "Region is needed")
	need(o.Retention > 0, "Retention must be positive")
	need(o.CheckpointEvery >= 0, "CheckpointEvery must not be negative")
	need(o.Lanes >= 0 && o.Lanes <= lanesMax, "Lanes must be 0 to 128")
	return errors.Join(errs...)
}

func (o *Options) fill() {
	if o.Lanes == 0 {
		o.Lanes = min(runtime.GOMAXPROCS(0), lanesMax)
	}
	switch {
	case o.LogPayloadBytes == 0:
		o.LogPayloadBytes = event.PayloadBytesMax
	case o.LogPayloadBytes < 0:
		o.LogPayloadBytes = 0
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.cuts.fill()
	if o.grow == nil {
		o.grow = (*counters.Table).Grow
	}
}

// Errors of Submit and View.
var (
	// ErrStopped means that the engine failed or was closed. Whether the request was counted is unknown: the caller closes
	// the connection without an answer.
	ErrStopped = errors.New("the engine has stopped")
	// ErrClockLeap means that nothing was counted because the clock leapt ahead (R12).
	ErrClockLeap = errors.New("the clock leapt ahead of the monotonic clock")
	// ErrDiskFull means that nothing was counted because the disk is nearly full.
	ErrDiskFull = errors.New("the disk is nearly full")
	// ErrUnsafe means that nothing was counted because Options.Unsafe says so.
	ErrUnsafe = errors.New("the copies of the log elsewhere cannot be relied on")
	// ErrOutOfMemory means that nothing was counted because there is no memory for the new devices of the request.
	ErrOutOfMemory = errors.New("no memory for new devices")
	// ErrOverloaded means that nothing was counted because others took the room, or changed what was looked up, at every
	// try.
	ErrOverloaded = errors.New("too many requests at once")
	// ErrLedgerLags means that nothing was counted because the ledger, which would have to be asked, cannot be read or
	// lacks what memory has let go of.
	ErrLedgerLags = errors.New("the ledger cannot be asked")
)

// Engine decides and counts. All methods are safe for concurrent use.
type Engine struct {
	o         Options
	appends   appender
	logger    *slog.Logger
	table     *counters.Table
	gate      *gate
	clock     *decidedClock
	catalogue atomic.Pointer[license.Catalogue]
	admin     *adminQueue
	producers *claims.Producers
	compress  *record.Compressor
	buffers   buffers
	state     *recovery.State
	serial    *atomic.Uint64 // the state's
	ground    ground         // of all turns

	totals   *recovery.Totals      // the state's
	upgrades *recovery.Upgrades    // the state's
	repeats  *duplicates.Memory    // the state's
	gathered []record.BucketTotals // by the lanes for the group that is being sealed
	commands *commands.Commands
	sweeps   sweeps
	views    *views.Runner
	expiry   expiry
	days     dayCloser
	verdicts verdictCounts
	observed observedCounts
	checked  atomic.Uint64 // events of checks
	sweeping atomic.Bool   // of holders
	stats    stats
	shortage shortage

	commits    chan *group
	handed     atomic.Int32  // groups that the committer was given and has not finished
	idle       chan struct{} // the committer has finished one
	durableSeq atomic.Uint64
	sealedSeq  atomic.Uint64
	sinceRows  atomic.Int64 // rows logged since the last checkpoint
	sinceBytes atomic.Int64
	checkpoint checkpointer
	cutting    cutting
	erasing    erasing

	// inside, when a test sets it, is called by every request after its last decision, before it leaves the gate.
	inside func()
	// replaced, when a test sets it, is called by every message that has replaced a word of an older day, before it looks
	// whether the word is in the log.
	replaced func()

	follows atomic.Bool   // it is a Standby's: groups come from the log, and nothing is decided
	closed  atomic.Bool   // no request enters the gate any more
	stop    chan struct{} // closed by Close
	failed  chan struct{} // closed at the first failure
	failOne sync.Once
	failErr error
	wg      sync.WaitGroup
}

// Open recovers the state from the newest checkpoint and the log behind it, and starts the engine.
func Open(o Options) (*Engine, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	e, j, err := recovered(o)
	if err != nil {
		return nil, err
	}
	err = j.Close()
	if err == nil {
		err = refuseStart(e.begin())
	}
	if err == nil {
		err = e.openViews()
	}
	if err != nil {
		return nil, errors.Join(err, e.table.Close())
	}
	e.wg.Go(e.runCheckpoints)
	e.start()
	return e, nil
}

// recovered returns an engine that does not run, with the state as its log left it, and what joined that.
func recovered(o Options) (*Engine, *recovery.Joiner, error) {
	o.fill()
	e, err := newEngine(o)
	if err != nil {
		return nil, nil, refuseStart(err)
	}
	j, err := e.recover()
	if err != nil {
		return nil, nil, errors.Join(refuseStart(err), e.table.Close())
	}
	return e, j, nil
}

func (e *Engine) openViews() (err error) {
	_, lastMs, _ := e.o.Log.Last()
	e.views, err = views.Open(views.Options{
		Views: append(slices.Clone(e.o.Views), e.o.Ledger), Short: e.o.Guard.Low, Full: e.o.Guard.Exhausted,
		Source: logSource{e.o.Log, e.compress}, LastMs: lastMs, Devices: e.table, Catalogue: e.catalogue.Load(),
		AcceptGap: e.o.AcceptViewGap, Logger: e.o.Logger, Moved: e.viewMoved, Failed: e.viewFailed,
	})
	return err
}

// newEngine returns an engine that has decided nothing and does not run.
func newEngine(o Options) (*Engine, error) {
	e := &Engine{
		o: o, logger: o.Logger, appends: o.Log, gate: newGate(o.Lanes), producers: claims.New(o.claims),
		admin:   newAdminQueue(),
		commits: make(chan *group), idle: make(chan struct{}, 1),
		stop: make(chan struct{}), failed: make(chan struct{}),
	}
	e.buffers.most = buffersALane * o.Lanes
	e.sweeps.init()
	e.cutting.init()
	e.checkpoint.now = make(chan struct{}, 1)
	var err error
	if e.compress, err = record.NewCompressor(o.Lanes); err != nil {
		return nil, err
	}
	if e.table, err = counters.New(counters.Options{Seed: o.HashSeed}); err != nil {
		return nil, err
	}
	e.commands = e.newCommands()
	e.state = recovery.New(e.table, e.producers, e.commands)
	e.serial, e.totals, e.upgrades = &e.state.Serial, &e.state.Totals, &e.state.Upgrades
	e.repeats = e.state.Duplicates
	e.ground = ground{
		table: e.table, upgrades: e.upgrades, repeats: e.repeats, commands: e.commands, serial: e.serial, expiry: &e.expiry,
	}
	return e, nil
}

// viewMoved is told how far a view has come.
func (e *Engine) viewMoved(v views.View, seq uint64) {
	if v == views.View(e.o.Ledger) {
		e.raiseFloor(seq)
		e.producers.Passed(seq)
	}
}

// viewFailed is told why a view cannot follow the log.
func (e *Engine) viewFailed(_ views.View, err error) {
	if e.o.ViewFailed != nil {
		e.o.ViewFailed(err)
	}
}

func (e *Engine) start() {
	for _, run := range []func(){e.runSealer, e.runCommitter, e.runSweeps, e.runExpiry, e.runDays} {
		e.wg.Go(run)
	}
}

// Failed is closed when the engine can no longer acknowledge anything; Err says why. The process must end then: a disk
// that failed once is not asked again.
func (e *Engine) Failed() <-chan struct{} { return e.failed }

// Err returns what made the engine fail, nil while it works.
func (e *Engine) Err() error {
	select {
	case <-e.failed:
		return e.failErr
	default:
		return nil
	}
}

func (e *Engine) fail(err error) {
	e.failOne.Do(func() {
		e.failErr = err
		close(e.failed)
	})
}

// Close writes a checkpoint, ends the cut that is open, and stops. Submit and View return ErrStopped from then on, and
// so do calls that wait for a group that is not sealed.
func (e *Engine) Close() error {
	var err error
	if e.Err() == nil {
		err = e.Checkpoint()
	}
	e.gate.mu.Lock() // Requests inside leave first; later ones see that it is closed.
	e.closed.Store(true)
	e.gate.mu.Unlock()
	close(e.stop)
	e.wg.Wait()
	<-e.cutting.place // A cut that was open has ended.
	e.views.Close()
	return errors.Join(err, e.Err(), e.table.Close())
}

// Catalogue returns what administration has said so far. It is for looking up names and rights; decisions load it
// inside the gate.
func (e *Engine) Catalogue() *license.Catalogue { return e.catalogue.Load() }

// NowMs returns the time by which views are made, Unix milliseconds: it never lies before a decision.
func (e *Engine) NowMs() int64 { return e.clock.view() }

// ClockLeapt reports whether ingest is stopped because the clock leapt ahead (R12).
func (e *Engine) ClockLeapt() bool { return e.clock.leapt() }

// ConfirmClock takes the wall clock for right after a leap (R12).
func (e *Engine) ConfirmClock(name string, token *access.Token) error {
	return e.Administer(
		name,
		token,
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			e.clock.confirm()
			next, ch := c.Note(by, "clock.confirm", "clock", map[string]any{"wall_ms": e.clock.view()})
			return next, ch, nil
		},
	)
}
