package recovery

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
	"github.com/meterd/meterd/shard/duplicates"
	"github.com/meterd/meterd/shard/record"
)

// State is what decisions read. Each part says how it is guarded; the catalogue is the engine's.
type State struct {
	Table     *counters.Table
	Producers *claims.Producers
	Commands  *commands.Commands
	Totals    Totals
	Upgrades  Upgrades
	// Duplicates are the CloudEvents that were decided last.
	Duplicates *duplicates.Memory
	Serial     atomic.Uint64 // the last serial of a licence that was given out
	// LedgerFloor is the group up to which memory has let go of what the ledger keeps.
	LedgerFloor atomic.Uint64
}

// New returns the state of a daemon that has decided nothing.
func New(table *counters.Table, producers *claims.Producers, kept *commands.Commands) *State {
	s := &State{Table: table, Producers: producers, Commands: kept, Duplicates: duplicates.New(duplicates.Options{})}
	s.Totals.init()
	s.Upgrades.init()
	return s
}

// Log is what recovery reads of the commit log.
type Log interface {
	Replay(from uint64, fn func(*commitlog.Group) error) error
	ReadForward(ctx context.Context, after uint64, fromMs, toMs int64, bytesMax int, b *commitlog.Block) error
	Last() (seq uint64, lastMs int64, chain commitlog.Chain)
}

// Checkpoints returns the newest checkpoint, nil if there is none.
type Checkpoints interface {
	Latest() (*disk.CheckpointReader, error)
}

// Options is what a state is recovered from.
type Options struct {
	Log         Log
	Checkpoints Checkpoints
	Compressor  *record.Compressor
	Region      string
	Retention   time.Duration // of the raw log; bounds the log days of plans
	Lanes       int           // how many goroutines join a large group, and load shards
	LedgerSeq   uint64        // the ledger has everything up to this group
}

// Recovered says what was recovered, beside the state.
type Recovered struct {
	Catalogue       *license.Catalogue
	Begin, Last     uint64 // the group that the checkpoint holds for certain, and the last one of the log
	LastMs          int64  // the last decided time, Unix milliseconds
	Rows            uint64 // that were replayed
	CheckpointBytes int64  // 0: there is none
	Loading         time.Duration
	Replaying       time.Duration
}

// Recover joins the newest checkpoint and the log behind it into an empty state. Follow goes on from there, and Close
// ends it.
func (j *Joiner) Recover() (r Recovered, err error) {
	began := time.Now()
	begin, end, err := j.checkpoint()
	if err != nil {
		return r, err
	}
	last, lastMs, _ := j.o.Log.Last()
	if last < end {
		return r, fmt.Errorf("%w: the log ends at group %d, but the checkpoint reflects group %d: the log lost its tail; "+
			"restore the data directory from a backup", disk.ErrDamaged, last, end)
	}
	loaded := time.Now()
	if err := j.replay(begin + 1); err != nil {
		return r, fmt.Errorf("replay the log: %w", err)
	}
	j.seq, j.lastMs = max(j.seq, last), max(j.lastMs, lastMs)
	return Recovered{
		Catalogue: j.cat, Begin: begin, Last: last, LastMs: j.lastMs, Rows: j.rows,
		CheckpointBytes: j.checkpointBytes, Loading: loaded.Sub(began), Replaying: time.Since(loaded),
	}, nil
}
