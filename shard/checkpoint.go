package shard

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/recovery"
)

// checkpointer remembers when the last checkpoint was made and how large it was.
type checkpointer struct {
	mu    sync.Mutex // one at a time
	now   chan struct{}
	last  atomic.Int64 // Unix nanoseconds of the machine's clock, for the metric; 0 before the first
	bytes atomic.Int64 // of the last one
	begin atomic.Uint64
}

// runCheckpoints makes checkpoints when they are due, and has the log release segments that are not needed.
func (e *Engine) runCheckpoints() {
	span := max(e.o.Retention/7, time.Second)
	// A segment goes only when a checkpoint has passed it: with a short retention they cannot be far apart (R18).
	every := min(e.o.CheckpointEvery, span/2)
	if every == 0 {
		<-e.stop
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	made := time.Now()
	for {
		select {
		case <-tick.C:
		case <-e.checkpoint.now:
			if time.Since(made) < every {
				continue // The next tick comes soon enough.
			}
		case <-e.stop:
			return
		case <-e.failed:
			return
		}
		if e.checkpointDue(time.Since(made), span) {
			made = time.Now()
			if err := e.Checkpoint(); err != nil {
				e.fail(err)
				return
			}
		}
		if err := e.eraseFromLog(); err != nil {
			e.fail(err)
			return
		}
		passed := min(e.checkpoint.begin.Load(), e.views.Passed(), e.cutting.keeps())
		if err := e.o.Log.Release(e.clock.view(), passed); err != nil {
			e.fail(fmt.Errorf("let go of old segments of the log: %w", err))
			return
		}
		e.erasedFromLog()
		if !e.follows.Load() {
			e.endErasures()
		}
	}
}

// checkpointDue reports whether a replay would take too long, and the log has grown by as much as a checkpoint writes;
// or whether segments wait for a checkpoint to go, those soon that hold what was erased.
func (e *Engine) checkpointDue(since, span time.Duration) bool {
	rows := e.sinceRows.Load()
	if rows >= checkpointRowsMax && e.sinceBytes.Load() >= e.checkpoint.bytes.Load() {
		return true
	}
	if e.erasing.change != 0 && e.checkpoint.begin.Load() < e.erasing.group {
		return true
	}
	return e.durableSeq.Load() > e.checkpoint.begin.Load() && since >= span/2
}

// Checkpoint copies the state while events go on and installs the copy when the last group that it may reflect is
// durable. It is installed as "everything up to begin, perhaps more up to end": what lies between is replayed over it,
// which changes nothing that is there already.
func (e *Engine) Checkpoint() error {
	e.checkpoint.mu.Lock()
	defer e.checkpoint.mu.Unlock()
	return e.makeCheckpoint()
}

// heldCheckpoint makes a checkpoint and holds it.
func (e *Engine) heldCheckpoint() (*disk.CheckpointReader, error) {
	e.checkpoint.mu.Lock()
	defer e.checkpoint.mu.Unlock()
	if err := e.makeCheckpoint(); err != nil {
		return nil, err
	}
	return e.o.Checkpoints.Hold()
}

// makeCheckpoint is Checkpoint for a caller that holds checkpoint.mu.
func (e *Engine) makeCheckpoint() error {
	c := &e.checkpoint
	e.gate.mu.RLock()
	begin := e.sealedSeq.Load() // Nobody is sealing: all that groups up to begin decided is in the words.
	cat := e.catalogue.Load()   // As it stands after begin: the changes behind it are replayed.
	e.gate.mu.RUnlock()
	e.sinceRows.Store(0)
	e.sinceBytes.Store(0)
	w, err := e.o.Checkpoints.Create(begin)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	size, err := e.copyState(w, cat)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", errors.Join(err, w.Abort()))
	}
	// Everything that was copied is durable now, and so is its log: this is the last group that the copy may reflect, or
	// a later one.
	if err := w.Commit(e.durableSeq.Load()); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	c.bytes.Store(size)
	c.begin.Store(begin)
	c.last.Store(time.Now().UnixNano())
	e.o.Guard.Reserve(uint64(size))
	return nil
}

// poolsStill returns what is held while pools are copied. Requests lock their accounts, a Standby the gate.
func (e *Engine) poolsStill() sync.Locker {
	if e.follows.Load() {
		return e.gate.mu.RLocker()
	}
	return noLock{}
}

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

// copyState writes the copy and returns when the newest group that it may reflect is durable.
func (e *Engine) copyState(w *disk.CheckpointWriter, cat *license.Catalogue) (int64, error) {
	nowMs := e.clock.view()
	e.producers.Tidy(nowMs)
	e.repeats.Tidy(nowMs)
	var newest *group
	size, err := e.state.Write(w, cat, e.poolsStill(), func() int64 {
		e.gate.mu.RLock()
		defer e.gate.mu.RUnlock()
		last := e.clock.last.Load() // First: whoever decides by an earlier time has entered newest or a group before it.
		newest = e.gate.newest()
		return last
	})
	if err != nil {
		return 0, err
	}
	return size, e.awaitNewest(newest)
}

// recover brings the state back to what was acknowledged, and returns what joined it.
func (e *Engine) recover() (*recovery.Joiner, error) {
	passed := e.o.Ledger.Position().Seq // Of these groups memory needs no long answers and no OTAs. Open checks it.
	e.producers.Passed(passed)
	j := recovery.NewJoiner(e.state, e.recoveryOptions(passed))
	r, err := j.Recover()
	if err != nil {
		return nil, errors.Join(err, j.Close())
	}
	e.raiseFloor(passed)
	e.catalogue.Store(r.Catalogue)
	e.sealedSeq.Store(r.Last)
	e.durableSeq.Store(r.Last)
	e.checkpoint.begin.Store(r.Begin)
	if r.CheckpointBytes > 0 {
		e.checkpoint.bytes.Store(r.CheckpointBytes)
		e.checkpoint.last.Store(time.Now().UnixNano())
		e.o.Guard.Reserve(uint64(r.CheckpointBytes))
	}
	e.sinceRows.Store(int64(r.Rows))
	e.sinceBytes.Store(r.CheckpointBytes) // Rows alone say whether the replay was too long.
	e.clock = newDecidedClock(e.o.Clock, r.LastMs)
	e.logger.Info("state recovered", "devices", e.table.Len(), "groups_replayed", r.Last-r.Begin, "rows_replayed", r.Rows,
		"checkpoint_seconds", r.Loading.Seconds(), "replay_seconds", r.Replaying.Seconds())
	return j, nil
}

// begin makes the state that was joined ready for decisions. Nobody is inside the gate.
func (e *Engine) begin() error {
	e.commands.Start(e.catalogue.Load().Seq)
	e.clock.decides()
	e.producers.Restored(e.clock.last.Load())
	e.count()
	if e.gathers() {
		e.gate.bigBytes = gatherBytesMax
	}
	return e.grow(0) // Room for the first batch.
}

func (e *Engine) recoveryOptions(ledgerSeq uint64) recovery.Options {
	return recovery.Options{
		Log: e.o.Log, Checkpoints: e.o.Checkpoints, Compressor: e.compress, Region: e.o.Region, Retention: e.o.Retention,
		Lanes: e.o.Lanes, LedgerSeq: ledgerSeq,
	}
}

// refuseStart adds to an error of recovery what to do if memory was what it lacked.
func refuseStart(err error) error {
	if errors.Is(err, counters.ErrNoMemory) {
		return fmt.Errorf("%w; %s, then start again", err, memoryAdvice)
	}
	return err
}
