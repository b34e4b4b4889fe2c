package shard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard/record"
	"github.com/meterd/meterd/shard/views"
)

// DurableInLedger returns when the ledger, too, has everything that was decided before the call; ErrLedgerLags says
// that it does not get there.
func (e *Engine) DurableInLedger() error {
	if err := e.Durable(); err != nil {
		return err
	}
	switch err := e.views.WaitFor(e.o.Ledger, e.durableSeq.Load()); {
	case errors.Is(err, views.ErrLags):
		return ErrLedgerLags
	case err != nil:
		return ErrStopped
	}
	return nil
}

// Pin calls fn while a view stands between two groups, at the last one that was durable when it was called. The view
// waits for fn, which must be short. ErrLedgerLags says that the view does not get there in time.
func (e *Engine) Pin(ctx context.Context, view views.View, fn func() error) error {
	if !e.join() {
		return ErrStopped
	}
	defer e.wg.Done()
	switch err := e.views.Pin(ctx, view, func(views.Position) error { return fn() }); {
	case errors.Is(err, views.ErrLags):
		return ErrLedgerLags
	case errors.Is(err, views.ErrStopped):
		return ErrStopped
	default:
		return err
	}
}

// ledgerErr turns an error of reading the ledger into ErrLedgerLags: it concerns the request alone. The view's own
// goroutine and metric say what is wrong with the ledger.
func (e *Engine) ledgerErr(err error) error {
	if err == nil {
		return nil
	}
	e.logger.Error("the ledger cannot be read", "error", err)
	return ErrLedgerLags
}

// ledgerReaches refuses what must be looked up while the ledger lacks groups that memory has let go of: it was restored
// from an older backup, or is being built again.
func (e *Engine) ledgerReaches() error {
	floor := e.state.LedgerFloor.Load() // First: the ledger goes on, and the floor follows it.
	if e.o.Ledger.Position().Seq < floor {
		return ErrLedgerLags
	}
	return nil
}

// letGo lets memory go of what the ledger has durably. The gate is closed.
func (e *Engine) letGo() {
	passed := e.o.Ledger.Position().Seq
	e.raiseFloor(passed)
	e.upgrades.LetGo(passed)
}

// raiseFloor says that memory may let go of what the ledger keeps of the groups up to passed. It comes first, so that a
// checkpoint that lacks what memory let go of says so.
func (e *Engine) raiseFloor(passed uint64) {
	floor := &e.state.LedgerFloor
	for {
		have := floor.Load()
		if passed <= have || floor.CompareAndSwap(have, passed) {
			return
		}
	}
}

// logSource is the log as views read it when memory no longer has what they lack.
type logSource struct {
	log     Log
	inflate *record.Compressor
}

// First implements views.Source.
func (s logSource) First() uint64 { return s.log.First() }

// Last implements views.Source.
func (s logSource) Last() views.Position {
	seq, _, chain := s.log.Last()
	return views.Position{Seq: seq, Chain: chain}
}

// ChainOf implements views.Source.
func (s logSource) ChainOf(seq uint64) (views.Position, error) {
	chain, err := s.log.ChainOf(seq)
	return views.Position{Seq: seq, Chain: chain}, err
}

// Read implements views.Source.
func (s logSource) Read(after uint64, bytesMax int) ([]*views.Group, error) {
	var block commitlog.Block
	if err := s.log.ReadForward(context.Background(), after, 0, math.MaxInt64, bytesMax, &block); err != nil {
		return nil, err
	}
	groups := make([]*views.Group, 0, len(block.Groups))
	var raw []byte
	for i := range block.Groups {
		g, err := s.group(&block.Groups[i], &raw)
		if err != nil {
			return nil, fmt.Errorf("group %d: %w", block.Groups[i].Seq, err)
		}
		groups = append(groups, g)
	}
	return groups, nil
}

// group decodes one group; raw is memory that it may use for one chunk after the other.
func (s logSource) group(g *commitlog.Group, raw *[]byte) (*views.Group, error) {
	head, err := record.DecodeHead(g.Head)
	if err != nil {
		return nil, err
	}
	out := &views.Group{
		Position: views.Position{Seq: g.Seq, Chain: g.Chain}, FirstMs: g.FirstMs, LastMs: g.LastMs, Head: head,
	}
	for _, stored := range g.Chunks {
		if *raw, err = s.inflate.Decompress((*raw)[:0], stored); err != nil {
			return nil, err
		}
		c, err := record.Open(*raw)
		if err != nil {
			return nil, err
		}
		if column := c.EffectsColumn(); len(column) > 0 {
			out.Effects = append(out.Effects, bytes.Clone(column)) // A part of the chunk, often a small one.
		}
	}
	return out, nil
}
