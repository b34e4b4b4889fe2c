package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/servers"
)

// operatedFlags are those of a cluster on the operator's servers of NATS.
func operatedFlags(o *servers.Options, f *pflag.FlagSet) {
	f.StringSliceVar(
		&o.URLs,
		"nats-url",
		nil,
		"servers of NATS that the operator runs, tls://HOST:PORT or nats://HOST:PORT, instead of --nats-listen and "+
			"--nats-routes",
	)
	f.StringVar(
		&o.CA,
		"nats-ca",
		"",
		"file of the certificates that those of --nats-url are proved by (default: the machine's)",
	)
	f.StringVar(&o.Cert, "nats-cert", "", "file of the certificate that this node shows to --nats-url")
	f.StringVar(&o.Key, "nats-key", "", "file of its key")
	f.StringVar(&o.Creds, "nats-creds", "", "file of credentials of the account of NATS that the streams lie in")
	f.StringVar(
		&o.SystemCreds, "nats-system-creds", "",
		"file of credentials of the system account of NATS, by which it is seen what the servers do with their disks",
	)
	f.StringSliceVar(
		&o.Monitors, "nats-monitor", nil,
		"the same without a system account: http://HOST:PORT of the monitoring of each server",
	)
}

// isOperated reports whether the servers of NATS are the operator's.
func (o *clusterOptions) isOperated() bool { return len(o.operated.URLs) > 0 }

// validateOperated returns every fault of the flags of such a cluster.
func (o *clusterOptions) validateOperated() (errs []error) {
	if o.listen != "" || len(o.routes) > 0 || o.secretFile != "" {
		errs = append(errs, errors.New("--nats-url names servers that run: leave out --nats-listen, --nats-routes and "+
			"--nats-secret-file"))
	}
	if o.replicas < 0 || o.replicas > jetlog.ReplicasMax {
		errs = append(errs, fmt.Errorf("--replicas %d: must be 1 to %d", o.replicas, jetlog.ReplicasMax))
	}
	return append(errs, o.operated.Validate())
}

// connect connects to the servers of NATS, of which one may be started here.
func (n *node) connect(ctx context.Context) error {
	c := &n.o.cluster
	if c.isOperated() {
		o := c.operated
		o.Name, o.Logger = "meterd "+c.node, n.logger
		var err error
		n.nats, err = servers.Connect(o)
		return err
	}
	secret, err := c.secret()
	if err != nil {
		return err
	}
	o := embedded.Options{
		Cluster: c.name, Node: c.node, Dir: n.dir.Path("nats"), Listen: c.listen, Routes: c.routes, Secret: secret,
		Logger: n.logger,
	}
	if err := n.admitted(ctx, o); err != nil {
		return err
	}
	if n.server, err = embedded.Start(ctx, o); err != nil {
		return err
	}
	// A server of a new node may not be among our routes: all that are connected are asked.
	want := func() int { return max(len(c.routes), n.server.Count()) }
	n.nats = servers.Own(n.server.Conn(), n.server.System(), want, n.server.Close)
	return nil
}

// replicasOfNew returns how many copies a stream has that is made now.
func (o *clusterOptions) replicasOfNew() int {
	switch {
	case o.replicas > 0:
		return o.replicas
	case o.isOperated():
		return jetlog.ReplicasMax
	}
	return min(len(o.routes), jetlog.ReplicasMax)
}

// awaitServers returns when the servers may be trusted with what is acknowledged.
func (n *node) awaitServers(ctx context.Context) error {
	o := servers.WatchOptions{Ask: n.nats.Ask(), Peers: n.peers, Logger: n.logger}
	if n.o.cluster.isOperated() { // Of our own ones a few may start later.
		o.Replicas = n.o.cluster.replicasOfNew()
	}
	n.watch = servers.NewWatch(o)
	for said := ""; ; {
		err := n.watch.Look(ctx)
		if err == nil {
			return nil
		}
		if err.Error() != said {
			said = err.Error()
			n.logger.Warn("the servers of NATS cannot be used; they are looked at again each second", "error", err)
		}
		if err := wait(ctx, standEvery); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, pause time.Duration) error {
	select {
	case <-time.After(pause):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// peers returns the servers that have replicas of the cells' streams, and what is wrong with a stream itself.
func (n *node) peers(ctx context.Context) (list []servers.Peer, err error) {
	for cell := range n.streams {
		made, peers, err := jetlog.Look(ctx, n.nats.Conn(), n.settings(cell))
		n.missing[cell].Store(int64(missingOf(n.made[cell].get().Replicas, peers)))
		switch {
		case errors.Is(err, jetlog.ErrGone):
			continue // Its cell says so.
		case errors.Is(err, jetlog.ErrRefused):
			return nil, servers.Wrong(err)
		case err != nil:
			return nil, err
		}
		if len(peers) == 0 { // A server that is alone names none.
			continue
		}
		// As many as acknowledge must be there: of three, two when a node was forgotten and its place is empty.
		if least := made.Replicas/2 + 1; len(peers) < least {
			return nil, fmt.Errorf("the stream of cell %d has %d replicas, %d are needed, %d were asked for: start more servers",
				cell, len(peers), least, made.Replicas)
		}
		for _, p := range peers {
			list = addPeer(list, servers.Peer{Name: p.Name, Offline: p.Offline})
		}
	}
	return list, nil
}

// missingOf returns how many of a stream's replicas are not online, or lack more than what is on its way to them: the
// leader takes a replica for behind from each message on until that one has said that it has it. A server that is alone
// names none.
func missingOf(replicas int, peers []jetlog.Peer) int {
	if replicas == 1 && len(peers) == 0 {
		return 0
	}
	for _, p := range peers {
		if !p.Offline && (p.Current || p.Lag > 0 && p.Lag <= replicaLagMax) {
			replicas--
		}
	}
	return replicas
}

// addPeer adds a server to a list that has each one once: one that any stream has heard is not offline.
func addPeer(list []servers.Peer, p servers.Peer) []servers.Peer {
	i := slices.IndexFunc(list, func(o servers.Peer) bool { return o.Name == p.Name })
	if i < 0 {
		return append(list, p)
	}
	list[i].Offline = list[i].Offline && p.Offline
	return list
}
