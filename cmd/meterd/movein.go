package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/member"
	"github.com/meterd/meterd/retention/disk"
)

// bring answers those who would make the cluster, until stop is called.
func (n *node) bring() (stop func(), err error) {
	moved, err := n.dir.MovedIn()
	if !moved || err != nil {
		return func() {}, err
	}
	return member.Bring(n.nats.Conn(), n.o.cluster.name, n.o.cluster.node)
}

// makeFirst makes the stream of cell 0, behind this node's data if it was alone before, or looks at it.
func (n *node) makeFirst(ctx context.Context) (jetlog.Made, error) {
	s := n.settings(0)
	moved, err := n.dir.MovedIn()
	switch {
	case err != nil:
		return jetlog.Made{}, err
	case !moved:
		if err := n.awaitBringer(ctx, s); err != nil {
			return jetlog.Made{}, err
		}
	default:
		if s.Seed, err = disk.SeedOf(n.dir.CellPath(0)); err != nil {
			return jetlog.Made{}, err
		}
		s.Begins = n.o.cluster.node
	}
	ctx, cancel := context.WithTimeout(ctx, makeWithin)
	defer cancel()
	made, err := jetlog.Make(ctx, n.nats.Conn(), s)
	if err == nil && moved && (made.Seed != s.Seed || made.Begins != s.Begins) {
		err = fmt.Errorf("%w: cluster %q was made by another node, without the data that this one brings: stop all nodes, "+
			"empty the directories of the others, and start this one first", jetlog.ErrRefused, s.Cluster)
	}
	return made, err
}

// awaitBringer returns an error while another node brings its data. If there is no stream yet it asks for a while: the
// nodes are started at the same time.
func (n *node) awaitBringer(ctx context.Context, s jetlog.Settings) error {
	for range bringAsks {
		look, cancel := context.WithTimeout(ctx, askWithin)
		_, _, err := jetlog.Look(look, n.nats.Conn(), s)
		cancel()
		if !errors.Is(err, jetlog.ErrGone) {
			return err
		}
		ask, cancel := context.WithTimeout(ctx, askWithin)
		bringer, err := member.Bringer(ask, n.nats.Conn(), s.Cluster)
		cancel()
		switch {
		case err != nil:
			return err
		case bringer != "":
			return fmt.Errorf("node %q brings the data of a daemon that was alone, and makes the cluster", bringer)
		}
		if err := wait(ctx, bringEvery); err != nil {
			return err
		}
	}
	return nil
}
