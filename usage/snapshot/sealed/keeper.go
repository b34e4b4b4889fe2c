package sealed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// KeeperOptions is what a Keeper is made of.
type KeeperOptions struct {
	Store  *Store
	Record *Record
	// Audit reads the audit log as far as this node has it. Change is the last change of administration that this node
	// has heard of: until there is another one, the audit log is not read.
	Audit  AuditFunc
	Change func() uint64
	// Sources returns the nodes that are heard now, the best first.
	Sources func() []Source
	// Room reports whether the disk has room for so many bytes more.
	Room func(bytes uint64) bool
	// Changed is told when there is another snapshot.
	Changed func()
	Logger  *slog.Logger
}

// Keeper has a node of a cluster hold the sealed snapshots that the audit log of a cell names: what is missing is
// copied from a node that has it, and what was removed goes.
//
//	log of the cell ─► audit log ─► Record ─┬─► not here: Source ─► .ID.tmp/, each file proved ─► ID/
//	                                        └─► removed:  ID/ ─► gone
//
// The node may follow the cell or own it. What a Maker of the same Store makes, and removes, is left to that.
type Keeper struct {
	o       KeeperOptions
	looked  uint64 // the change up to which the record was compared with what is here
	failing bool   // the audit log cannot be read
	removal try    // of what could not be removed
	sources string // names of those that were asked last
	tries   map[string]*try
	lacks   atomic.Int64
	fetched atomic.Uint64
}

// try is how it went with a snapshot that is not here, or should not be.
type try struct {
	wait time.Duration // 0: it never failed
	at   time.Time     // of the next one
}

// failed has the next try wait, longer each time.
func (t *try) failed() {
	t.wait = min(max(2*t.wait, fetchRetryMin), fetchRetryMax)
	t.at = time.Now().Add(t.wait)
}

// NewKeeper returns a Keeper.
func NewKeeper(o KeeperOptions) *Keeper {
	return &Keeper{o: o, looked: ^uint64(0), tries: map[string]*try{}}
}

// Lacks returns how many snapshots the audit log names that are not here.
func (k *Keeper) Lacks() int { return int(k.lacks.Load()) }

// Fetched returns how many snapshots were copied from other nodes.
func (k *Keeper) Fetched() uint64 { return k.fetched.Load() }

// Run keeps the directory until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		k.step(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *Keeper) step(ctx context.Context) {
	if k.o.Change() > k.o.Record.at() { // The ledger may be behind: then it is read again.
		err := k.o.Record.Follow(k.o.Audit)
		if err != nil && !k.failing {
			k.o.Logger.Error("this node does not know which snapshots there are; it is tried again", "error", err)
		}
		if k.failing = err != nil; k.failing {
			return
		}
	}
	at := k.o.Record.at() // Perhaps the Maker has read it.
	if at == k.looked && len(k.tries) == 0 && k.removal.wait == 0 {
		return
	}
	k.looked = at
	lacking := k.o.Store.lacking(k.o.Record)
	k.lacks.Store(int64(len(lacking)))
	k.fetchAll(ctx, lacking)
	k.removeAll()
}

// fetchAll copies what is missing, the newest first: somebody waits for that.
func (k *Keeper) fetchAll(ctx context.Context, lacking []*Said) {
	var sources []Source
	if len(lacking) > 0 {
		sources = k.o.Sources()
	}
	var names []string
	for _, s := range sources {
		names = append(names, s.Name())
	}
	if is := strings.Join(names, " "); is != k.sources {
		k.sources = is
		clear(k.tries) // Perhaps one has it that was not heard before.
	}
	tries := map[string]*try{}
	for _, said := range lacking {
		t := k.tries[said.ID]
		if t == nil {
			t = &try{}
		}
		tries[said.ID] = t
		if ctx.Err() != nil || time.Now().Before(t.at) {
			continue
		}
		err := k.fetch(ctx, said, sources)
		switch {
		case err == nil:
			delete(tries, said.ID)
			k.lacks.Add(-1)
			k.fetched.Add(1)
			k.o.Changed()
			continue
		case ctx.Err() != nil:
			return
		}
		if t.wait == 0 {
			k.o.Logger.Warn("a sealed snapshot is not on this node, and could not be copied; it is tried again until it is",
				"snapshot", said.ID, "error", err)
		}
		t.failed()
		k.o.Store.giveUp(said.ID, errors.Is(err, fs.ErrNotExist))
	}
	k.tries = tries
}

// fetch copies a snapshot from the first node that has it. If none has it the error is fs.ErrNotExist.
func (k *Keeper) fetch(ctx context.Context, said *Said, sources []Source) error {
	failed := error(nil)
	for _, from := range sources {
		began := time.Now()
		err := k.o.Store.fetch(ctx, said, from, k.o.Room)
		if err == nil {
			k.o.Logger.Info("a sealed snapshot was copied from another node", "snapshot", said.ID, "node", from.Name(),
				"seconds", time.Since(began).Seconds())
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			failed = err
		}
	}
	if failed != nil {
		return failed
	}
	return fmt.Errorf("none of the %d nodes that are heard has it: %w", len(sources), fs.ErrNotExist)
}

// removeAll removes what the audit log says was removed, unless a Maker does that.
func (k *Keeper) removeAll() {
	if time.Now().Before(k.removal.at) {
		return
	}
	for {
		old := k.o.Store.outdated(k.o.Record)
		if old == nil || k.o.Store.isMade() {
			k.removal = try{}
			return
		}
		left, err := k.o.Store.take(old)
		if err == nil {
			err = removeLeft(left)
		}
		if err != nil {
			if k.removal.wait == 0 {
				k.o.Logger.Error("a snapshot that was removed is still on this node; it is tried again until it is gone",
					"snapshot", old.ID, "error", err)
			}
			k.removal.failed()
			return
		}
		k.o.Logger.Info("a daily snapshot is removed, as at the owner of the cell", "snapshot", old.ID)
	}
}
