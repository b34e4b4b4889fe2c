package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/route"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/console/web"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// hopOf returns what the nodes of a cluster know each other by. The seed of cell 0 is random, was made with the
// cluster, and is told by its stream alone.
func hopOf(seed [16]byte) access.Hop {
	sum := sha256.Sum256(append([]byte("meterd hop "), seed[:]...))
	return access.Hop(hex.EncodeToString(sum[:]))
}

// openRouter makes the door answer: the console's files and what is about this node here, the rest by the owners.
func (n *node) openRouter() error {
	host, _, err := net.SplitHostPort(n.o.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	n.metrics = metric.NewSet()
	n.door.RegisterMetrics(n.metrics)
	n.overview.RegisterMetrics(n.metrics)
	n.registerStreams(n.metrics)
	directory := &naming{}
	r, err := route.New(route.Options{
		Cells: len(n.cells), Board: n.board, Hop: n.hop, Peer: n.peer,
		Catalogues: func(cell int) *license.Catalogue { return n.cells[cell].catalogue() },
		Gateways:   func(ctx *fasthttp.RequestCtx) { n.gateways.door.Handle(ctx) },
		Names:      directory,
		Documents:  api.Documents(n.logger), Metrics: n.metricParts, Leaving: n.leaving.Load, Loopback: loopback(host),
		Logger: n.logger,
	})
	if err != nil {
		return err
	}
	if err := directory.open(n, r); err != nil {
		return err
	}
	n.router = r
	r.RegisterMetrics(n.metrics)
	if len(n.cells) > 1 {
		if n.gateways, err = n.openGateways(r); err != nil {
			return err
		}
	}
	pages, err := web.New(n.handle(r.Handle))
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	n.endRouting = end
	go r.Run(ctx)
	n.door.Handle(n.sends(sealedPath, sealedSendsMax, n.openSealedFile,
		n.sends(archivePath, archiveSendsMax, n.openArchived, pages.Handle)))
	return nil
}

// metricParts are those of the node and of the cells that it owns.
func (n *node) metricParts() []metric.Part {
	parts := []metric.Part{{Set: n.metrics}}
	for i, c := range n.cells {
		if set := c.metrics.Load(); set != nil {
			parts = append(parts, metric.Part{Set: set, Label: "cell", Value: strconv.Itoa(i)})
		}
	}
	return parts
}

// peer returns how a node's cells are called: by the certificate that it tells.
func (n *node) peer(name string) *tls.Config {
	for _, s := range n.board.Nodes() {
		if s.Node == name && s.Fingerprint != "" {
			return route.PeerTLS(s.Fingerprint, n.certificate)
		}
	}
	return nil
}

// certificate returns this node's own, nil without TLS.
func (n *node) certificate() *tls.Certificate {
	if n.tls == nil {
		return nil
	}
	config, err := n.tls.GetConfigForClient(nil)
	if err != nil || len(config.Certificates) == 0 {
		return nil
	}
	return &config.Certificates[0]
}

// fingerprint returns what this node tells of its certificate.
func (n *node) fingerprint() string {
	if c := n.certificate(); c != nil {
		return route.Fingerprint(c)
	}
	return ""
}

// admitPeers has a server take the certificates of nodes beside those of clients.
func (n *node) admitPeers(config *tls.Config) {
	route.AdmitPeers(config, func(fingerprint string) bool {
		known := n.heard.Load()
		return known != nil &&
			slices.ContainsFunc(known.Nodes(), func(s board.Status) bool { return s.Fingerprint == fingerprint })
	})
}
