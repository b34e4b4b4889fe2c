package main

import (
	"context"
	"errors"
	"sync"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/cluster/forget"
	"github.com/meterd/meterd/cluster/jetlog"
)

// boardOptions are those of this node's board, without its connection.
func (n *node) boardOptions() board.Options {
	c := &n.o.cluster
	o := board.Options{
		Cluster: c.name, Node: c.node, Path: n.dir.Path("positions"), Older: n.failWith, Logger: n.logger,
	}
	if n.server != nil {
		o.Server = board.Server{Node: c.node, Name: n.server.Name(), ID: n.server.ID()}
	}
	return o
}

// admitted refuses a directory whose server the others have forgotten, before that server is one of theirs: its Raft
// logs would vote, and its peers be counted, as if it had never been away.
func (n *node) admitted(ctx context.Context, o embedded.Options) error {
	name, err := embedded.NameIn(o.Dir)
	if err != nil || name == "" {
		return err
	}
	return embedded.Before(ctx, o, func(s *embedded.Server) error {
		b := n.boardOptions()
		b.Conn = s.Conn()
		b.Server = board.Server{Node: o.Node, Name: name, ID: embedded.IDOf(name)}
		return b.Admitted(ctx, len(o.Routes)-1)
	})
}

// openForgetter makes what forgets nodes that do not come back.
func (n *node) openForgetter() (err error) {
	o := forget.Options{Node: n.o.cluster.node, Board: n.board, Streams: n.streamsOf, Logger: n.logger}
	if n.server != nil {
		o.Servers, o.Remove = n.serversOf, n.server.Remove
	}
	n.forgets, err = forget.New(o)
	return err
}

func (n *node) serversOf(ctx context.Context) ([]forget.Peer, error) {
	peers, err := n.server.Peers(ctx)
	var list []forget.Peer
	for _, p := range peers {
		list = append(list, forget.Peer{ID: p.ID, Name: p.Name, Current: p.Current, Offline: p.Offline})
	}
	return list, err
}

// streamsOf returns who has replicas of the cells' streams. All are asked at once: one without a leader is silent.
func (n *node) streamsOf(ctx context.Context) ([]forget.Stream, error) {
	found, errs := make([]*forget.Stream, len(n.streams)), make([]error, len(n.streams))
	var asked sync.WaitGroup
	for cell := range n.streams {
		asked.Go(func() { found[cell], errs[cell] = n.streamOf(ctx, cell) })
	}
	asked.Wait()
	var list []forget.Stream
	for _, s := range found {
		if s != nil {
			list = append(list, *s)
		}
	}
	return list, errors.Join(errs...)
}

// streamOf returns that of one cell, nil if there is none.
func (n *node) streamOf(ctx context.Context, cell int) (*forget.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, streamAskMax)
	defer cancel()
	made, peers, err := jetlog.Look(ctx, n.nats.Conn(), n.settings(cell))
	switch {
	case errors.Is(err, jetlog.ErrGone):
		return nil, nil // It is repaired on the servers that there are then.
	case errors.Is(err, context.DeadlineExceeded):
		return &forget.Stream{Cell: cell, Silent: true}, nil
	case err != nil:
		return nil, err
	}
	s := &forget.Stream{Cell: cell, Replicas: made.Replicas}
	for _, p := range peers {
		s.Peers = append(s.Peers, forget.Peer{
			ID: embedded.IDOf(p.Name), Name: p.Name, Current: p.Current, Offline: p.Offline,
		})
	}
	return s, nil
}

// whole reports whether all of this node's copies are in order.
func (n *node) whole() bool {
	for _, h := range n.hosts {
		if role := h.Status().Role; role != board.Owner && role != board.Standby {
			return false
		}
	}
	return true
}
