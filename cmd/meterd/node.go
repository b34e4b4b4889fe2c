package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/cluster/forget"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/member"
	"github.com/meterd/meterd/cluster/overview"
	"github.com/meterd/meterd/cluster/purge"
	"github.com/meterd/meterd/cluster/route"
	"github.com/meterd/meterd/cluster/servers"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/shard/record"
)

// node is a node of a cluster: its server, its copies of all cells, and its door.
type node struct {
	o      *serveOptions
	logger *slog.Logger
	dir    *disk.Node
	door   *ingest.Server
	tls    *tls.Config // nil: without
	hop    access.Hop
	nats   *servers.Link
	server *embedded.Server // nil: they are the operator's
	watch  *servers.Watch
	board  *board.Board
	heard  atomic.Pointer[board.Board] // the same, for the door, which is open before
	state  string                      // what the board tells of the node until it leaves

	leaving    atomic.Bool
	metrics    *metric.Set // of the node itself
	router     *route.Router
	endRouting context.CancelFunc
	gateways   *everyCell // nil with one cell

	made     []*streamOf // by cell, as what follows
	streams  []*jetlog.JetStream
	purgers  []*purge.Purger
	missing  []atomic.Int64 // replicas of each stream that were not there, or not current, when they were looked at last
	cells    []*cellCopy
	hosts    []*member.Host
	overview *overview.Overview
	scrubs   bytePace
	copies   bytePace
	copying  chan struct{} // has room for whoever begins to copy a directory of an archive
	forgets  *forget.Forgetter

	changed  chan struct{} // others should know at once
	failOnce sync.Once
	failure  error
	fail     chan struct{}
}

// runNode runs a node until ctx ends or it cannot go on.
func runNode(ctx context.Context, o *serveOptions, logger *slog.Logger) error {
	n := &node{
		o: o, logger: logger, state: board.Starting, changed: make(chan struct{}, 1), fail: make(chan struct{}),
		endRouting: func() {}, copying: make(chan struct{}, 1),
		scrubs: bytePace{perSecond: scrubBytesPerSecond}, copies: bytePace{perSecond: copyBytesPerSecond},
	}
	err := n.open(ctx)
	if ctx.Err() != nil {
		err = nil // It was told to stop before it was one of the cluster.
	} else if err == nil {
		err = n.run(ctx)
	}
	return errors.Join(err, n.close())
}

func (n *node) open(ctx context.Context) (err error) {
	name := disk.NodeName{Cluster: n.o.cluster.name, Node: n.o.cluster.node}
	if n.dir, err = disk.OpenNode(n.o.data, name, n.o.cluster.moveIn); err != nil {
		return err
	}
	if n.tls, err = tlsConfig(n.o, n.admitPeers); err != nil {
		return err
	}
	if n.door, err = ingest.Listen(n.o.listen, n.tls, ingest.Starting, n.logger); err != nil {
		return err
	}
	if err := n.tryCells(n.cellsAhead()); err != nil {
		return err
	}
	if err := n.connect(ctx); err != nil {
		return err
	}
	brought, err := n.bring()
	if err != nil {
		return err
	}
	defer brought()
	if err := n.awaitServers(ctx); err != nil {
		return err
	}
	b := n.boardOptions()
	b.Conn = n.nats.Conn()
	if n.board, err = board.Open(b); err != nil {
		return err
	}
	n.heard.Store(n.board)
	if err := n.stand(ctx); err != nil {
		return err
	}
	if err := n.tryCells(len(n.made)); err != nil {
		return err
	}
	n.hop = hopOf(n.made[0].get().Seed)
	n.missing = make([]atomic.Int64, len(n.made))
	for cell := range n.made {
		if err := n.openCell(cell); err != nil {
			return fmt.Errorf("cell %d: %w", cell, err)
		}
	}
	if err := n.recall(ctx); err != nil {
		return err
	}
	if err := n.openForgetter(); err != nil {
		return err
	}
	return n.openOverview()
}

// openCell makes the node a member of a cell, which run starts.
func (n *node) openCell(i int) error {
	made := n.made[i].get()
	stream, err := jetlog.Connect(n.nats.Conn(), n.settings(i).StreamName())
	if err != nil {
		return err
	}
	n.streams = append(n.streams, stream)
	purger, err := n.newPurger(i)
	if err != nil {
		return err
	}
	n.purgers = append(n.purgers, purger)
	logger := n.logger.With("cell", i)
	o := *n.o
	o.data = n.dir.CellPath(i)
	o.usageHistory = o.usageHistory && (o.usageURL != "" || made.Cells == 1) // Children of each cell would be too many.
	if o.listen, err = n.cellListens(i); err != nil {
		return err
	}
	c := &cellCopy{
		o: &o, logger: logger, host: n.advertised(), hop: n.hop, admit: n.admitPeers,
		board: n.board, place: api.Cell{Number: i, Of: made.Cells}, node: n, directory: n.directory(),
		more: stateOptions{
			failed: n.failWith, seed: &made.Seed, unsafe: func() bool { return n.unsafe(i) }, pace: &n.scrubs,
		},
	}
	if i == 0 {
		c.tokenPath = n.dir.Path(adminTokenFile)
	}
	if c, err = openCell(c, made.Cells > 1); err != nil {
		return err
	}
	n.cells = append(n.cells, c)
	if err := n.made[i].set(made); err != nil {
		return err
	}
	if i == 0 {
		if err := n.dir.Settle(); err != nil {
			return err
		}
	}
	from := &donor{cell: i, board: n.board, hop: n.hop, peer: n.peer}
	h, err := member.New(member.Options{
		Cluster: n.o.cluster.name,
		Cell:    i,
		Node:    n.o.cluster.node,
		Conn:    n.nats.Conn(),
		Board:   n.board,
		Stream:  stream,
		Look:    func(ctx context.Context) (member.Followed, error) { return n.look(ctx, i) },
		Copy:    c.copyName,
		Owned:   n.dir.Path(fmt.Sprintf("owned-%02d", i)),
		Records: record.Version,
		Changed: n.tellSoon,
		Able:    n.watch.Fault,
		Renew:   func(ctx context.Context) error { return n.renew(ctx, i) },
		Logger:  n.logger,
		Reseed:  func(ctx context.Context, cause error) (string, error) { return c.reseed(ctx, from, cause) },
	}, c)
	n.hosts = append(n.hosts, h)
	return err
}

// advertised returns the host that others reach this node by.
func (n *node) advertised() string {
	address := n.o.cluster.advertise
	if address == "" {
		address = n.o.listen
	}
	host, _, _ := net.SplitHostPort(address) // It was validated.
	return host
}

// hostOf returns an address under the name that others reach it by.
func hostOf(host string, address net.Addr) string {
	_, port, _ := net.SplitHostPort(address.String()) // It is one of a listener.
	return net.JoinHostPort(host, port)
}

// address returns what others reach this node's door by.
func (n *node) address() string {
	if n.o.cluster.advertise != "" {
		return n.o.cluster.advertise
	}
	return hostOf(n.advertised(), n.door.Address())
}

// run has all cells follow and be owned until ctx ends, and then hands over what this node owns.
func (n *node) run(ctx context.Context) error {
	if err := n.openRouter(); err != nil {
		return err
	}
	n.state = board.Ready
	told, stop := context.WithCancel(context.Background())
	members, leave := context.WithCancel(context.Background())
	defer leave()
	var tell, hosts sync.WaitGroup
	tell.Go(func() { n.keepTelling(told) })
	defer tell.Wait()
	defer stop()
	hosts.Go(func() { n.watch.Run(members) })
	hosts.Go(func() { n.forgets.ForgetOwn(members, n.whole) })
	for i, h := range n.hosts {
		hosts.Go(func() { n.purgers[i].Run(members) })
		hosts.Go(func() {
			if err := h.Run(members); err != nil {
				n.failWith(err)
			}
		})
	}
	n.logger.Info("ready", "address", n.door.Address().String(), "data", n.o.data, "version", version,
		"cluster", n.o.cluster.name, "node", n.o.cluster.node, "cells", len(n.hosts))
	select {
	case <-ctx.Done():
		n.leaving.Store(true)
		n.tellSoon()
		n.drain()
	case <-n.fail:
	}
	n.logger.Info("leaving the cluster")
	leave()
	hosts.Wait()
	select {
	case <-n.fail:
		return fmt.Errorf("the node cannot go on: %w", n.failure)
	default:
		return nil
	}
}

// drain keeps on for --drain, or until the node is told once more to end.
func (n *node) drain() {
	if n.o.drain == 0 {
		return
	}
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(again)
	select {
	case <-time.After(n.o.drain):
	case s := <-again:
		n.logger.Info("the drain is cut short", "signal", s.String())
	case <-n.fail:
	}
}

// keepTelling tells the board how this node is.
func (n *node) keepTelling(ctx context.Context) {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for {
		n.tell()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-n.changed:
		}
	}
}

// told returns the state that the board tells: nobody hands a cell to a node that leaves.
func (n *node) told() string {
	if n.leaving.Load() {
		return board.Leaving
	}
	return n.state
}

func (n *node) tell() {
	s := board.Status{State: n.told(), Version: version, Address: n.address(), Fingerprint: n.fingerprint()}
	for i, h := range n.hosts {
		c := n.cells[i].tell(h.Status())
		c.First, c.Erased = n.purgers[i].Size().First, n.erasedInStream(i)
		s.Cells = append(s.Cells, c)
	}
	n.board.Tell(s)
}

// tellSoon has the others know at once.
func (n *node) tellSoon() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// failWith notes the first failure; the node hands over what it can, and ends.
func (n *node) failWith(err error) {
	n.failOnce.Do(func() {
		n.failure = err
		close(n.fail)
	})
}

// close closes what is open, in the order in which it depends on each other.
func (n *node) close() error {
	var errs []error
	n.gateways.close()
	if n.door != nil {
		ctx, cancel := context.WithTimeout(context.Background(), finishWithin)
		defer cancel()
		errs = append(errs, n.door.Shutdown(ctx))
	}
	n.endRouting()
	for _, c := range n.cells {
		errs = append(errs, c.closeDir())
	}
	if n.board != nil {
		errs = append(errs, n.board.Close())
	}
	for _, s := range n.streams {
		_ = s.Close() // Its connection is closed with the server.
	}
	if n.nats != nil {
		n.nats.Close()
	}
	if n.dir != nil {
		errs = append(errs, n.dir.Close())
	}
	return errors.Join(errs...)
}
