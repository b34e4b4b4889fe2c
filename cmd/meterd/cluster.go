package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/meterd/meterd/cluster/embedded"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/record"
)

// clusterOptions are the flags of a node of a cluster.
type clusterOptions struct {
	name, node, listen, secretFile string
	routes                         []string
}

func (o *clusterOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.name, "cluster", "", "name of the cluster that this node is one of; empty: it is alone")
	f.StringVar(&o.node, "node", "", "this node's name in the cluster")
	f.StringVar(&o.listen, "nats-listen", "", "address that the other nodes' servers reach this one's by")
	f.StringSliceVar(&o.routes, "nats-routes", nil, "such addresses of all nodes, this one's too")
	f.StringVar(&o.secretFile, "nats-secret-file", "", "file with what the nodes know each other by, the same for all")
}

// validate returns every fault.
func (o *clusterOptions) validate() (errs []error) {
	given := o.node != "" || o.listen != "" || len(o.routes) > 0 || o.secretFile != ""
	switch {
	case o.name == "" && given:
		errs = append(errs, errors.New("--node and --nats-… belong to --cluster"))
	case o.name == "":
	case strings.Trim(o.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "":
		errs = append(errs, fmt.Errorf("--cluster %q: letters, digits, - and _ only", o.name))
	case o.node == "" || o.listen == "" || len(o.routes) == 0 || o.secretFile == "":
		errs = append(errs, errors.New("--cluster needs --node, --nats-listen, --nats-routes and --nats-secret-file"))
	}
	return errs
}

const (
	// silenceMax is how long an owner may append nothing before others try to take over.
	silenceMax = 5 * time.Second
	// proveEvery is how often an owner appends at least.
	proveEvery = time.Second
	// retryEvery is the pause before a cluster that does not stand yet is asked again.
	retryEvery = time.Second
	// replicasMax is how many copies a stream has, if there are as many nodes.
	replicasMax = 3
	clusterFile = "cluster"
)

// member is this node's part in a cluster of one cell.
type member struct {
	server *embedded.Server
	stream *jetlog.JetStream
	log    *jetlog.Log
	// identity is the stream's, the same for all nodes
	identity jetlog.Identity
}

// joinCluster starts this node's server, follows the cell's log into the segments, and returns when the cell is this
// node's own.
func joinCluster(
	ctx context.Context, o *clusterOptions, dir *disk.Dir, segments *commitlog.Log, logger *slog.Logger,
) (m *member, err error) {
	m = &member{}
	defer func() {
		if err != nil {
			m.close()
			m = nil
		}
	}()
	secret, err := os.ReadFile(o.secretFile)
	if err != nil {
		return m, fmt.Errorf("--nats-secret-file: %w", err)
	}
	m.server, err = embedded.Start(ctx, embedded.Options{
		Cluster: o.name, Node: o.node, Dir: filepath.Join(dir.Path(), "nats"), Listen: o.listen, Routes: o.routes,
		Secret: strings.TrimSpace(string(secret)), Logger: logger,
	})
	if err != nil {
		return m, err
	}
	if m.identity, err = m.stand(ctx, o, dir, logger); err != nil {
		return m, err
	}
	f, err := jetlog.Open(ctx, jetlog.Options{
		Stream: m.stream, Identity: m.identity, Segments: segments, Node: o.node, Records: record.Version, Logger: logger,
	})
	if err != nil {
		return m, err
	}
	logger.Info("standing by", "cluster", o.name, "node", o.node)
	m.log, err = takeOver(ctx, f, logger)
	return m, err
}

// stand makes the stream, or examines it, until a majority of the servers is there.
func (m *member) stand(
	ctx context.Context, o *clusterOptions, dir *disk.Dir, logger *slog.Logger,
) (id jetlog.Identity, err error) {
	path := filepath.Join(dir.Path(), clusterFile)
	settings := jetlog.Settings{Cluster: o.name, Replicas: min(len(o.routes), replicasMax)}
	if raw, err := os.ReadFile(path); err == nil {
		b, err := hex.DecodeString(strings.TrimSpace(string(raw)))
		if err != nil || len(b) != len(settings.Identity) {
			return id, disk.Damage(path, "it is no identity of a cluster")
		}
		copy(settings.Identity[:], b)
	} else if !errors.Is(err, os.ErrNotExist) {
		return id, fmt.Errorf("read %q: %w", path, err)
	}
	for {
		if id, err = m.examine(ctx, settings, len(o.routes)); err == nil {
			break
		}
		logger.Warn("the cluster does not stand yet", "error", err)
		select {
		case <-time.After(retryEvery):
		case <-ctx.Done():
			return id, ctx.Err()
		}
	}
	if m.stream, err = jetlog.Connect(m.server.Conn(), settings.StreamName()); err != nil {
		return id, err
	}
	return id, disk.WriteSynced(path, []byte(hex.EncodeToString(id[:])+"\n"))
}

func (m *member) examine(ctx context.Context, s jetlog.Settings, servers int) (id jetlog.Identity, err error) {
	ask, cancel := context.WithTimeout(ctx, retryEvery)
	defer cancel()
	list, err := jetlog.AskServers(ask, m.server.System(), servers)
	if err == nil {
		err = jetlog.ExamineServers(list, len(list))
	}
	if err != nil {
		return id, err
	}
	look, cancel := context.WithTimeout(ctx, silenceMax)
	defer cancel()
	return jetlog.Make(look, m.server.Conn(), s)
}

// takeOver follows until nobody appends any more, and claims the cell.
func takeOver(ctx context.Context, f *jetlog.Follower, logger *slog.Logger) (*jetlog.Log, error) {
	for {
		if err := f.Await(ctx, silenceMax); err != nil {
			return nil, err
		}
		l, err := f.Claim()
		if err == nil {
			group, _ := f.At()
			logger.Info("this node owns the cell", "epoch", l.Epoch(), "group", group)
			return l, nil
		}
		if !errors.Is(err, jetlog.ErrOvertaken) {
			return nil, err
		}
		logger.Info("another node was first", "error", err)
	}
}

func (m *member) close() {
	if m == nil {
		return
	}
	if m.stream != nil {
		_ = m.stream.Close() // Its connection is closed with the server.
	}
	if m.server != nil {
		m.server.Close()
	}
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

// isOfCluster reports whether a data directory is a node's of a cluster.
func isOfCluster(dir *disk.Dir) bool {
	_, err := os.Stat(filepath.Join(dir.Path(), clusterFile))
	return err == nil
}
