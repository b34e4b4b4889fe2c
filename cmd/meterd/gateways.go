package main

import (
	"context"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/cells"
	"github.com/meterd/meterd/cluster/route"
	"github.com/meterd/meterd/ingest"
	"github.com/meterd/meterd/license"
)

// everyCell is what answers gateways of all accounts at a node of a cluster with several cells.
type everyCell struct {
	engine *cells.Engine
	door   *ingest.Handler
}

// openGateways has gateways of all accounts answered by all cells, which r reaches.
func (n *node) openGateways(r *route.Router) (*everyCell, error) {
	e, err := cells.New(cells.Options{
		Cells: len(n.cells), Owners: cells.Link{Router: r}, Logger: n.logger,
		Catalogues: func(cell int) *license.Catalogue { return n.cells[cell].catalogue() },
	})
	if err != nil {
		return nil, err
	}
	e.RegisterMetrics(n.metrics)
	door, err := ingest.NewHandler(ingest.Options{Engine: e, People: r.Handle})
	if err != nil {
		e.Close()
		return nil, err
	}
	door.RegisterMetrics(n.metrics)
	return &everyCell{engine: e, door: door}, nil
}

// close ends the streams, which have their last answers first.
func (g *everyCell) close() {
	if g == nil {
		return
	}
	g.door.Close()
	ctx, cancel := context.WithTimeout(context.Background(), restWithin)
	defer cancel()
	g.door.Finish(ctx)
	g.engine.Close()
}

// forNodes has other nodes ask a cell beside what people ask.
func (d *daemon) forNodes(people fasthttp.RequestHandler) (fasthttp.RequestHandler, error) {
	if d.hop == "" {
		return people, nil
	}
	door, err := cells.NewDoor(cells.DoorOptions{
		Cell: d.engine, Key: d.hop.Inner(), IsFirst: d.isFirst, Logger: d.logger,
	})
	if err != nil {
		return nil, err
	}
	d.nodes = door
	return func(ctx *fasthttp.RequestCtx) {
		switch {
		case door.Handle(ctx):
		case string(ctx.Path()) == route.WhosePath && d.hop.Inner().Holds(ctx.Request.Header.Peek(access.HeaderHop)):
			d.sayWhose(ctx)
		default:
			people(ctx)
		}
	}, nil
}

// sayWhose tells another node whose tokens are.
func (d *daemon) sayWhose(ctx *fasthttp.RequestCtx) {
	hashes := ctx.Request.Body() // It is as short as the node lets it be.
	answer, ok := route.Whose(d.engine.Catalogue(), d.engine.NowMs(), hashes)
	switch {
	case !ok:
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
	case d.engine.Durable() != nil:
		_ = ctx.Conn().Close() // No answer may be sent, whether this works or not.
	default:
		ctx.SetBody(answer)
	}
}
