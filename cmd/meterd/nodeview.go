package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/member"
	"github.com/meterd/meterd/cluster/overview"
	"github.com/meterd/meterd/cluster/purge"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// newPurger returns what keeps the stream of a cell short; the host of the cell is made later.
func (n *node) newPurger(cell int) (*purge.Purger, error) {
	made := n.made[cell].get()
	return purge.New(purge.Options{
		Stream: n.streams[cell], Cell: cell, Node: n.o.cluster.node, Copies: made.Replicas, Positions: n.board.Positions,
		Identity: func() board.Bytes16 { return board.Bytes16(n.made[cell].get().Identity) },
		Own: func() (uint64, bool) {
			s := n.hosts[cell].Status()
			_, _, _, owned := n.board.Owner(cell)
			stuck := !owned && s.Role == board.Standby && n.purgers[cell].Full()
			return s.Message, s.Role == board.Owner || stuck
		},
		Erase:  func() uint64 { return n.eraseInStream(cell) },
		Fill:   func(ctx context.Context) (uint64, error) { return n.fillStream(ctx, cell) },
		Logger: n.logger,
	})
}

// unsafe reports whether a cell must take no events, since its stream could lose or refuse them.
func (n *node) unsafe(cell int) bool { return n.purgers[cell].Full() || n.watch.Fault() != nil }

// openOverview makes what shows the cluster.
func (n *node) openOverview() (err error) {
	name := n.o.cluster.name
	n.overview, err = overview.New(overview.Options{
		Cluster: name, Node: n.o.cluster.node, Cells: len(n.hosts), Board: n.board,
		Catalogues: func(cell int) *license.Catalogue { return n.cells[cell].catalogue() },
		Unknown:    func(ctx *fasthttp.RequestCtx) *event.Problem { return n.router.Unknown(ctx) },
		Move: func(ctx context.Context, cell int, to string) error {
			return member.Move(ctx, n.nats.Conn(), name, cell, to)
		},
		Repair: n.repair, Forget: n.forgets.Forget, ConfirmClock: n.board.ConfirmClock, Logger: n.logger,
	})
	return err
}

// registerStreams adds metrics of streams and servers.
func (n *node) registerStreams(set *metric.Set) {
	bytes := set.Gauges("meterd_cluster_stream_bytes", "Bytes that the stream of a cell holds.")
	most := set.Gauges("meterd_cluster_stream_bytes_max", "Bytes beyond which the stream of a cell refuses more.")
	stopped := set.Gauges("meterd_cluster_stream_full",
		"Whether a cell takes no events since its stream runs full: 1 or 0.")
	replicas := set.Gauges("meterd_cluster_replicas_missing",
		"Replicas of a cell's stream that are offline, not placed, or more than 100 messages behind, by the word of the "+
			"stream's leader; all of them if nobody answers. Looked at every ten seconds, one cell after the other.")
	n.registerErasures(set)
	for cell, p := range n.purgers {
		label := strconv.Itoa(cell)
		bytes.Func(func() float64 { return float64(p.Size().Bytes) }, "cell", label)
		most.Func(func() float64 { return float64(p.Size().BytesMax) }, "cell", label)
		stopped.Whether(p.Full, "cell", label)
		replicas.Func(func() float64 { return float64(n.missing[cell].Load()) }, "cell", label)
	}
	copied := set.Counters("meterd_cluster_archive_copied_bytes_total",
		"Bytes of the archive that this node's copy of a cell has taken from the cell's owner, since it was opened.")
	missing := set.Gauges("meterd_cluster_snapshots_missing",
		"Sealed snapshots of a cell that its audit log names and this node does not have.")
	for cell, c := range n.cells {
		copied.Func(func() float64 {
			if own := c.archive.Load(); own != nil {
				return float64(own.Stats().CopiedBytes)
			}
			return 0
		}, "cell", strconv.Itoa(cell))
		missing.Func(func() float64 {
			if own := c.sealed.Load(); own != nil {
				return float64(own.keeper.Lacks())
			}
			return 0
		}, "cell", strconv.Itoa(cell))
	}
	set.Gauges("meterd_cluster_servers_refused",
		"Whether servers of NATS do what could lose acknowledged events: 1 or 0.").Whether(
		func() bool { return n.watch.Fault() != nil },
	)
	set.Gauges("meterd_cluster_clock_skew_seconds",
		"How far this node's clock is ahead of the other nodes' clocks.").Func(
		func() float64 { return n.board.Facts(board.CellStatus{}, 0, nil).Skew().Seconds() },
	)
}

// handle answers a request about the cluster, and leaves all others to the owners.
func (n *node) handle(others fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if !n.overview.Handle(ctx) {
			others(ctx)
		}
	}
}

// longestCopy returns the longest copy of a cell that is open on a node that is heard, and that node. One that is
// closed tells no stream, and nothing of how far it is.
func longestCopy(nodes []board.Status, cell int) (longest board.CellStatus, at string) {
	for i := range nodes {
		c, has := nodes[i].Cell(cell)
		if !has || nodes[i].State == board.Silent || c.Role == board.Reseeding || c.Stream == (board.Bytes16{}) {
			continue
		}
		if at == "" || c.Group > longest.Group {
			longest, at = c, nodes[i].Node
		}
	}
	return longest, at
}

// repair has the node with the longest copy of a cell begin a new stream behind it.
func (n *node) repair(ctx context.Context, cell int) error {
	if node, _, epoch, ok := n.board.Owner(cell); ok {
		return fmt.Errorf("node %q owns cell %d in epoch %d: nothing is to be repaired", node, cell, epoch)
	}
	longest, at := longestCopy(n.board.Nodes(), cell)
	if at == "" {
		return fmt.Errorf("no node that is heard has an open copy of cell %d: look at the state of the nodes, and wait "+
			"until one of them has opened its copy", cell)
	}
	if p, ok := n.board.Positions().Longest(cell, longest.Stream); ok && p.Group > longest.Group {
		return fmt.Errorf("node %q had group %d of cell %d, and the longest copy that is here, of node %q, ends with group "+
			"%d: start that node; or, if its copy is lost for ever, move the file positions away on all nodes and start "+
			"them again, then what is between the two is lost", p.Node, p.Group, cell, at, longest.Group)
	}
	return member.Repair(ctx, n.nats.Conn(), n.o.cluster.name, cell, at)
}
