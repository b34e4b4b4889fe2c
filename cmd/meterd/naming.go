package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/cluster/names"
	"github.com/meterd/meterd/cluster/route"
	"github.com/meterd/meterd/console/api"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// naming gives names for the router, which it needs. A cluster with one cell has no directory: what that cell does not
// have is given to nobody.
type naming struct{ directory *names.Directory }

var _ route.Names = (*naming)(nil)

func (a *naming) open(n *node, r *route.Router) (err error) {
	if len(n.cells) == 1 {
		return nil
	}
	a.directory, err = names.New(names.Options{
		Cells: len(n.cells), Client: n.callers(), Logger: n.logger,
		Catalogue: func(cell int) *license.Catalogue { return n.cells[cell].catalogue() },
		Forward: func(ctx context.Context, c *fasthttp.RequestCtx, cell int, reservation uint64) error {
			err := r.Forward(ctx, c, cell, reservation)
			if errors.Is(err, route.ErrUnsent) {
				return fmt.Errorf("%w: %w", names.ErrUnsent, err)
			}
			return err
		},
	})
	return err
}

// Route implements route.Names.
func (a *naming) Route(method, path []byte) func(*fasthttp.RequestCtx) {
	if a.directory == nil {
		return nil
	}
	return a.directory.Route(method, path)
}

// Find implements route.Names.
func (a *naming) Find(ctx context.Context, kind license.NameKind, name string) (cell int, found bool, err error) {
	if a.directory == nil {
		return 0, false, nil
	}
	return a.directory.Find(ctx, kind, name)
}

func (n *node) callers() *call.Client {
	return &call.Client{Bus: call.NATS{Conn: n.nats.Conn()}, Cluster: n.o.cluster.name}
}

// directoryOf is what owners of cells need to do their part in giving names.
type directoryOf struct {
	client *call.Client
	truth  func() (*license.Catalogue, func() error)
}

func (n *node) directory() directoryOf {
	return directoryOf{
		client: n.callers(),
		truth:  func() (*license.Catalogue, func() error) { return n.cells[0].durable() },
	}
}

// own begins what the owner of a cell does for others, nil if there are none.
func (d *directoryOf) own(cell api.Cell, e *shard.Engine, logger *slog.Logger) (*names.Owner, error) {
	if cell.Of == 1 {
		return nil, nil
	}
	return names.Own(names.OwnerOptions{
		Cell: cell.Number, Engine: e, Client: d.client, Truth: d.truth, Logger: logger,
	})
}

// endNames ends what the daemon does for other cells, while its engine works or after that has failed.
func (d *daemon) endNames() {
	if d.names == nil {
		return
	}
	if err := d.names.Close(); err != nil {
		d.logger.Warn("an owner's calls are not ended", "error", err)
	}
	d.names = nil
}

// snapshotPrefix begins the ids of a cell's snapshots. Those of cell 0 begin with nothing, as those of a daemon alone,
// whose directory may have become cell 0.
func snapshotPrefix(cell api.Cell) string {
	if cell.Number == 0 {
		return ""
	}
	return cell.Prefix()
}
