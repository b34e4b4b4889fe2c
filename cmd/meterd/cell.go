package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/member"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/webhook"
)

// cellCopy is what a node has of a cell: a data directory, and while the node owns the cell a daemon on it.
type cellCopy struct {
	o         *serveOptions // --data and --listen are the cell's own
	logger    *slog.Logger
	host      string // that others reach the doors by
	tokenPath string
	hop       access.Hop
	admit     func(*tls.Config) // has its server take certificates of nodes
	place     api.Cell
	node      *node
	directory directoryOf // what its owner does for other cells
	more      stateOptions
	board     *board.Board
	space     disk.SpaceOptions
	dir       *disk.Dir // nil: it is closed, since no copy could take its place
	copyName  string
	guard     context.CancelFunc

	state   *state
	faults  chan error // of state
	upkeep  context.CancelFunc
	standby atomic.Pointer[shard.Standby]     // of state, for everybody; its catalogue is also the owner's
	last    atomic.Pointer[license.Catalogue] // of the copy that was closed, until it is open again
	hooks   atomic.Pointer[webhook.Service]
	sealed  atomic.Pointer[sealedCopy]
	archive atomic.Pointer[archive.Store]
	metrics atomic.Pointer[metric.Set] // the owner's
	// engine is the owner's; while promoted is set and engine is not, standby has a catalogue that may not be durable.
	engine   atomic.Pointer[shard.Engine]
	promoted atomic.Bool
	owner    *daemon // nil while this node does not own the cell
}

var _ member.Cell = (*cellCopy)(nil)

// openCell opens the directory of a cell for as long as the node runs.
func openCell(c *cellCopy, several bool) (*cellCopy, error) {
	c.space = disk.SpaceOptions{StopBytes: c.o.diskStopBytes}
	if several {
		c.space.BallastBytes, c.more.segmentBytes = cellBallastBytes, cellSegmentBytes
	}
	if err := os.RemoveAll(c.o.data + newSuffix); err != nil {
		return nil, fmt.Errorf("remove what is left of a copy: %w", err)
	}
	err := c.openDir()
	if errors.Is(err, disk.ErrDamaged) {
		err = c.begin(err)
	}
	return c, err
}

// begin moves a directory aside that is not known as one, and begins with an empty one: that is filled from the
// owner's.
func (c *cellCopy) begin(cause error) error {
	aside := c.o.data + damagedSuffix
	c.logger.Error("this node's copy is damaged: it is moved aside, and made anew from another node's",
		"reason", cause, "moved_to", aside)
	if err := errors.Join(os.RemoveAll(aside), os.Rename(c.o.data, aside)); err != nil {
		return errors.Join(cause, fmt.Errorf("move the damaged copy aside: %w", err))
	}
	return c.openDir()
}

func (c *cellCopy) openDir() error {
	dir, err := disk.OpenDir(disk.DirOptions{Path: c.o.data, Region: c.o.region, Space: c.space, Logger: c.logger})
	if err != nil {
		return err
	}
	name, err := board.CopyName(c.o.data)
	if err != nil {
		return errors.Join(err, dir.Close())
	}
	ctx, end := context.WithCancel(context.Background())
	c.dir, c.copyName, c.guard = dir, name, end
	go c.dir.Guard().Run(ctx, guardEvery, c.more.failed)
	return nil
}

// closeDir does nothing if the directory is closed.
func (c *cellCopy) closeDir() error {
	if c.dir == nil {
		return nil
	}
	c.guard()
	dir := c.dir
	c.dir = nil
	return dir.Close()
}

// Open implements member.Cell.
func (c *cellCopy) Open(context.Context) (*commitlog.Log, error) {
	if c.dir == nil {
		return nil, fmt.Errorf("directory %q is closed: the node is failing", c.o.data)
	}
	more, faults := c.more, make(chan error, 1)
	more.fault = func(err error) {
		select {
		case faults <- err:
		default: // The host has one, and needs no more.
		}
	}
	s, err := openStandby(c.o, c.dir, more, c.logger)
	if errors.Is(err, views.ErrApart) || errors.Is(err, commitlog.ErrGone) { // Something of it is gone.
		err = fmt.Errorf("it is %w: %w", disk.ErrDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	c.state, c.faults = s, faults
	c.standby.Store(s.standby)
	c.last.Store(nil)
	c.hooks.Store(s.webhooks)
	ctx, end := context.WithCancel(context.Background())
	c.upkeep = end
	if err := c.openSealed(ctx, s); err != nil {
		return nil, err
	}
	c.archive.Store(s.files.archive)
	s.raw.SetSource(archiveSource{c})
	s.keep(ctx, s.standby, c.dir.Guard(), c.logger)
	s.kept.Go(func() { c.hear(ctx, s) })
	return s.log, nil
}

// hear has a standby go by its owner's clock, and takes from the queues of the webhooks what the owner has delivered.
func (c *cellCopy) hear(ctx context.Context, own *state) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, n := range c.board.Nodes() {
			s, has := n.Cell(c.place.Number)
			if !has || s.Role != board.Owner {
				continue
			}
			if n.State != board.Silent {
				own.standby.OwnerIsAt(n.WallMs)
			}
			if err := own.webhooks.Prune(webhook.Delivered{Through: s.Delivered, Behind: s.Owed}); err != nil {
				c.logger.Error("what another node has delivered stays in the queues of the webhooks", "error", err)
			}
		}
	}
}

// tell adds to the status of a cell that this node owns how far its webhooks are.
func (c *cellCopy) tell(s board.CellStatus) board.CellStatus {
	if hooks := c.hooks.Load(); hooks != nil && s.Role == board.Owner {
		d := hooks.Delivered()
		s.Delivered, s.Owed = d.Through, d.Behind
	}
	if standby := c.standby.Load(); standby != nil {
		s.Devices = standby.Devices()
	}
	if own := c.sealed.Load(); own != nil {
		s.Sealed, s.Lacks = new(own.store.Newest()), own.keeper.Lacks()
	}
	return s
}

// catalogue returns what the copy has; while it is closed, for it is opened anew, what it had last. It is nil until the
// copy is open for the first time.
func (c *cellCopy) catalogue() *license.Catalogue {
	if s := c.standby.Load(); s != nil {
		return s.Catalogue()
	}
	return c.last.Load()
}

// durable returns what the copy has, nil for nothing just now, and what says when all of that is durable.
func (c *cellCopy) durable() (*license.Catalogue, func() error) {
	standby := c.standby.Load()
	if standby == nil {
		return nil, nil // What an owner had last may never have become durable.
	}
	copied := standby.Catalogue()                          // Before it is looked who has it: a standby's is durable.
	if !c.promoted.Load() && c.standby.Load() == standby { // Else it was an owner's until a moment ago.
		return copied, func() error { return nil }
	}
	if e := c.engine.Load(); e != nil {
		return e.Catalogue(), e.Durable
	}
	return nil, nil
}

// Follow implements member.Cell.
func (c *cellCopy) Follow(ctx context.Context) error { return c.state.standby.Follow(ctx) }

// Own implements member.Cell.
func (c *cellCopy) Own(ctx context.Context, log *jetlog.Log) (err error) {
	c.promoted.Store(true)
	if err := c.state.promote(c.o, log, log.Barrier, c.logger); err != nil {
		return err
	}
	c.engine.Store(c.state.engine)
	d := newDaemon(c.o, c.logger)
	d.dir, d.state, d.tokenPath, d.hop, d.cell = c.dir, c.state, c.tokenPath, c.hop, c.place
	d.isFirst = log.Epoch() == 1
	d.node, d.spread = c.node, c.spread
	c.owner = d
	go prove(d.begin(), c.state.engine)
	if d.tls, err = tlsConfig(c.o, c.admit); err != nil {
		return err
	}
	if err := d.listen(); err != nil {
		return err
	}
	if err := d.openRooms(); err != nil {
		return errors.Join(c.state.engine.Err(), err)
	}
	if d.names, err = c.directory.own(c.place, c.state.engine, c.logger); err != nil {
		return err
	}
	if d.names != nil {
		d.names.RegisterMetrics(d.set)
		d.names.AwaitTokens(ctx, c.Failed())
	}
	c.metrics.Store(d.set)
	d.ready.Store(true)
	return nil
}

// Failed implements member.Cell.
func (c *cellCopy) Failed() <-chan struct{} { return c.state.standby.Failed() }

// Err implements member.Cell.
func (c *cellCopy) Err() error { return c.state.standby.Err() }

// Faults implements member.Cell.
func (c *cellCopy) Faults() <-chan error { return c.faults }

// Address implements member.Cell.
func (c *cellCopy) Address() string { return hostOf(c.host, c.owner.server.Address()) }

// Rest implements member.Cell.
func (c *cellCopy) Rest() { c.owner.rest() }

// Drop implements member.Cell.
func (c *cellCopy) Drop() error {
	s, owner := c.shut()
	switch {
	case owner != nil:
		return owner.drop()
	case s != nil:
		s.halt()
		return s.close()
	}
	return nil
}

// Close implements member.Cell.
func (c *cellCopy) Close() error {
	s, owner := c.shut()
	switch {
	case owner != nil:
		return owner.stop(0)
	case s != nil:
		return s.close()
	}
	return nil
}

// shut hands out what is to be closed.
func (c *cellCopy) shut() (s *state, owner *daemon) {
	s, owner = c.state, c.owner
	c.state, c.owner = nil, nil
	c.last.Store(c.catalogue())
	c.standby.Store(nil)
	c.hooks.Store(nil)
	c.sealed.Store(nil)
	c.archive.Store(nil)
	c.metrics.Store(nil)
	c.engine.Store(nil)
	c.promoted.Store(false)
	if c.upkeep != nil {
		c.upkeep()
	}
	return s, owner
}

// prove has an idle owner append often enough for others not to try.
func prove(ctx context.Context, e *shard.Engine) {
	tick := time.NewTicker(proveEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if e.Durable() != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}
