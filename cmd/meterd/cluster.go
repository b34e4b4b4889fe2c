package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/servers"
)

// clusterOptions are the flags of a node of a cluster.
type clusterOptions struct {
	name, node             string
	listen, secretFile     string
	routes                 []string
	cells, replicas        int
	moveIn                 bool // what lies in --data
	cellsListen, advertise string
	operated               servers.Options // where the operator's servers are, instead of listen and routes
}

func (o *clusterOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.name, "cluster", "", "name of the cluster that this node is one of; empty: it is alone")
	f.StringVar(&o.node, "node", "", "this node's name in the cluster")
	f.StringVar(&o.listen, "nats-listen", "", "address that the other nodes' servers reach this one's by")
	f.StringSliceVar(&o.routes, "nats-routes", nil, "such addresses of all nodes, this one's too")
	f.StringVar(
		&o.secretFile, "nats-secret-file", "",
		"file with what the nodes know each other by, the same for all; needed unless all routes are loopback addresses",
	)
	f.IntVar(
		&o.cells, "cells", 0,
		fmt.Sprintf("how many cells a cluster has that is made now (0: %d); of one that is there it cannot be changed",
			jetlog.CellsDefault),
	)
	f.IntVar(
		&o.replicas, "replicas", 0,
		"how many servers store what is acknowledged, of a cluster that is made now (0: 3, or as many as there are routes)",
	)
	f.StringVar(
		&o.cellsListen, "cells-listen", "",
		"HOST:PORT of the server of cell 0, that of cell 1 has the next port (default: the host of --listen, any free ports)",
	)
	operatedFlags(&o.operated, f)
	f.BoolVar(
		&o.moveIn, "move-in", false,
		"make --data, of a daemon that was alone, the first cell of a cluster that is made now; there is no way back",
	)
	f.StringVar(&o.advertise, "advertise", "", "HOST:PORT that others reach this node by (default: --listen)")
}

// validate returns every fault.
func (o *clusterOptions) validate() (errs []error) {
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	given := o.isOperated() || o.node != "" || o.listen != "" || len(o.routes) > 0 || o.secretFile != "" || o.cells != 0 ||
		o.replicas != 0 || o.cellsListen != "" || o.advertise != "" || o.moveIn
	switch {
	case o.name == "" && given:
		fault("--node, --nats-…, --cells, --cells-listen, --replicas, --advertise and --move-in belong to --cluster")
	case o.name == "":
		return errs
	case strings.Trim(o.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		fault("--cluster %q: letters, digits, - and _ only", o.name)
	case o.node == "":
		fault("--cluster needs --node")
	case o.isOperated():
		errs = append(errs, o.validateOperated()...)
	case o.listen == "" || len(o.routes) == 0:
		fault("--cluster needs --nats-listen and --nats-routes, or --nats-url")
	case len(o.routes) == 1:
		fault("--nats-routes names one node: a cluster has three, or two; start meterd without --cluster")
	case o.secretFile == "" && !o.isLocal():
		fault("--nats-routes has addresses that are not loopback: give --nats-secret-file, the same for all nodes")
	case !slices.Contains(o.routes, o.listen):
		fault("--nats-routes lacks this node's own --nats-listen %s", o.listen)
	}
	if err := board.ValidName(o.node); o.node != "" && err != nil {
		fault("--node: %w", err)
	}
	if o.cells < 0 || o.cells > jetlog.CellsMax {
		fault("--cells %d: must be 1 to %d", o.cells, jetlog.CellsMax)
	}
	most := min(len(o.routes), jetlog.ReplicasMax)
	if !o.isOperated() && (o.replicas < 0 || o.replicas > most) {
		fault("--replicas %d: must be 1 to %d, with so many --nats-routes", o.replicas, most)
	}
	if o.cellsListen != "" {
		if _, _, err := cellsFrom(o.cellsListen); err != nil {
			errs = append(errs, err)
		}
	}
	if _, _, err := net.SplitHostPort(o.advertise); o.advertise != "" && err != nil {
		fault("--advertise %q: must be HOST:PORT", o.advertise)
	}
	return errs
}

// isLocal reports whether all servers are of this machine.
func (o *clusterOptions) isLocal() bool {
	return !slices.ContainsFunc(append(o.routes, o.listen), func(address string) bool {
		host, _, err := net.SplitHostPort(address)
		return err != nil || !loopback(host)
	})
}

// secret returns what the servers know each other by. On one machine whoever reaches an address may as well read the
// file.
func (o *clusterOptions) secret() (string, error) {
	if o.secretFile == "" {
		return "loopback", nil
	}
	b, err := os.ReadFile(o.secretFile)
	if err != nil {
		return "", fmt.Errorf("--nats-secret-file: %w", err)
	}
	if s := strings.TrimSpace(string(b)); s != "" {
		return s, nil
	}
	return "", errors.New("--nats-secret-file is empty")
}
