package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/recovery"
	"github.com/meterd/meterd/shard/views"
)

// Standby is an engine whose groups another node decides: it joins what its log gains, and feeds its views with it,
// until it is promoted.
//
//	owner ─► log ─► Follow: gate closed, join one group ─► state
//	                   └──► views: ledger, archive, webhooks
//	                                      │
//	           checkpoints, release of segments, erasures: as an engine does them, by its own disk and views
//
//	Promote ─► join the rest ─► count, take the time ─► sealer, committer, sweeps, ends of licences: an Engine
//
// Between two groups the state is that of the group before. So everything that looks at an engine's state inside the
// gate looks at a standby's in the same way, a checkpoint too. What is decided by time alone (ends, days, sweeps,
// erasures that are over) comes from the owner, in groups; and the disk is kept by the owner's clock.
//
// All methods are safe for concurrent use, but one Follow, Promote or Close runs at a time.
type Standby struct {
	e      *Engine
	mu     sync.Mutex // held by Follow, Promote and Close
	joiner *recovery.Joiner
}

// OpenStandby recovers the state from the newest checkpoint and the log behind it, as Open does, and decides nothing.
// Options.Log is read, and freed of old segments, while somebody else appends to it.
func OpenStandby(o Options) (*Standby, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	e, j, err := recovered(o)
	if err != nil {
		return nil, err
	}
	e.follows.Store(true)
	e.clock.follow()
	if err := e.openViews(); err != nil {
		return nil, errors.Join(err, j.Close(), e.table.Close())
	}
	e.wg.Go(e.runCheckpoints)
	return &Standby{e: e, joiner: j}, nil
}

// Follow joins what the log has gained. While the ledger lacks more than memory may hold for it, it waits for the
// ledger, until ctx ends. It returns ctx's error, or why the standby has failed: nothing but Close follows then.
func (s *Standby) Follow(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.joiner == nil {
		return ErrStopped
	}
	return s.follow(ctx, s.makeRoom)
}

// follow calls room before each group that it joins.
func (s *Standby) follow(ctx context.Context, room func(context.Context) error) error {
	e := s.e
	if err := e.Err(); err != nil {
		return err
	}
	last, _, _ := e.o.Log.Last()
	err := s.joiner.Follow(ctx, last, func(g *recovery.Group, join func() error) error {
		if err := room(ctx); err != nil {
			return err
		}
		return s.join(g, join)
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	e.fail(fmt.Errorf("follow the log: %w", err))
	return e.Err()
}

// join joins one group with the gate closed, and hands it to the views.
func (s *Standby) join(g *recovery.Group, join func() error) error {
	e := s.e
	e.gate.mu.Lock()
	under := e.catalogue.Load()
	err := join()
	if err == nil {
		err = s.joined(g)
	}
	e.gate.mu.Unlock()
	if err != nil {
		return err
	}
	e.stats.rows.Add(uint64(g.Rows))
	e.sinceBytes.Add(int64(g.Bytes))
	if e.sinceRows.Add(int64(g.Rows)) >= checkpointRowsMax {
		signal(e.checkpoint.now)
	}
	e.views.Durable(viewed(g, under))
	return nil
}

// joined notes how far the state is. The gate is closed.
func (s *Standby) joined(g *recovery.Group) error {
	e := s.e
	cat, err := s.joiner.Catalogue()
	if err != nil {
		return err
	}
	e.catalogue.Store(cat)
	e.sealedSeq.Store(g.Seq)
	e.durableSeq.Store(g.Seq)
	e.clock.reach(g.LastMs)
	e.letGo()
	return nil
}

// viewed copies what views get of a group.
func viewed(g *recovery.Group, under *license.Catalogue) *views.Group {
	v := &views.Group{
		Position: views.Position{Seq: g.Seq, Chain: g.Chain}, FirstMs: g.FirstMs, LastMs: g.LastMs, Head: g.Head,
		Catalogue: under,
	}
	for i, change := range v.Head.Changes { // The slices are the group's own, but not what they point to.
		v.Head.Changes[i] = bytes.Clone(change)
	}
	for i := range g.Chunks {
		if column := g.Chunks[i].EffectsColumn(); len(column) > 0 {
			v.Effects = append(v.Effects, bytes.Clone(column))
		}
	}
	return v
}

// makeRoom waits while memory holds as much for the ledger as an owner's may.
func (s *Standby) makeRoom(ctx context.Context) error {
	e := s.e
	for e.upgrades.Full(0) || e.producers.LongIsFull() {
		if e.o.Ledger.Position().Seq < e.durableSeq.Load() {
			select {
			case <-time.After(ledgerWait):
			case <-e.failed:
				return e.Err()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		e.gate.mu.Lock()
		e.letGo()
		e.gate.mu.Unlock()
	}
	return nil
}

// Promote makes the standby an engine that decides, when this node has begun to own the log: log appends behind what
// Options.Log has, and barrier is Options.Barrier. It joins what is left, and goes on from the last decided time (R12).
// The standby is used up, also by an error.
func (s *Standby) Promote(log Log, barrier func() error) (*Engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.e
	if s.joiner == nil {
		return nil, ErrStopped
	}
	err := s.follow(context.Background(), func(context.Context) error { return nil })
	if last, _, _ := log.Last(); err == nil && last != e.durableSeq.Load() {
		err = fmt.Errorf("the log to append to ends with group %d, the state with group %d", last, e.durableSeq.Load())
	}
	err = errors.Join(err, s.joiner.Close())
	s.joiner = nil
	if err == nil {
		e.gate.mu.Lock()
		e.appends, e.o.Barrier = log, barrier
		e.follows.Store(false)
		err = e.begin()
		e.gate.mu.Unlock()
	}
	if err != nil {
		e.fail(err) // Close writes no checkpoint of it.
		return nil, refuseStart(e.Close())
	}
	e.start()
	return e, nil
}

// Close writes a checkpoint, unless the standby has failed, and stops. Nothing happens if it was promoted.
func (s *Standby) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.joiner == nil {
		return nil
	}
	err := s.joiner.Close()
	s.joiner = nil
	return errors.Join(err, s.e.Close())
}

// Catalogue returns what administration had said as of the last group that was joined. It is for looking up names,
// rights and plans: what pools and products have used changes while groups are joined.
func (s *Standby) Catalogue() *license.Catalogue { return s.e.catalogue.Load() }

// Devices returns how many devices the cell has, also when the standby was promoted.
func (s *Standby) Devices() uint64 { return uint64(s.e.table.Len()) }

// Durable implements rawlog.Administration: a standby knows nothing that is not durable.
func (s *Standby) Durable() error { return nil }

// OwnerIsAt tells the standby what its owner's clock shows, Unix milliseconds, so that its disk is kept by the owner's
// time while nothing is decided. Of a promoted standby it means nothing.
func (s *Standby) OwnerIsAt(ms int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.joiner != nil {
		s.e.clock.hear(ms)
	}
}

// NowMs returns the time by which the disk is kept, Unix milliseconds: the owner's as it is known here, and
// Engine.NowMs when the standby was promoted.
func (s *Standby) NowMs() int64 { return s.e.NowMs() }

// CountedMs is Engine.CountedMs, also when the standby was promoted.
func (s *Standby) CountedMs() int64 { return s.e.CountedMs() }

// RowsLogged returns how many rows were joined since the standby was opened, and were logged since it was promoted.
func (s *Standby) RowsLogged() uint64 { return s.e.RowsLogged() }

// Failed is closed when a checkpoint, the log or a group has failed; Err says why. The process must end then, as for
// Engine.Failed. Of a promoted standby both are the engine's.
func (s *Standby) Failed() <-chan struct{} { return s.e.failed }

// Err returns what made the standby fail, nil while it works.
func (s *Standby) Err() error { return s.e.Err() }
