package main

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/ingest"
)

// forwarder sends every request to the owner of cell 0.
type forwarder struct {
	board  *board.Board
	client fasthttp.Client
}

func newForwarder(b *board.Board) *forwarder {
	return &forwarder{board: b, client: fasthttp.Client{
		NoDefaultUserAgentHeader: true, ReadTimeout: forwardWithin, MaxIdemponentCallAttempts: 1,
	}}
}

func (f *forwarder) handle(ctx *fasthttp.RequestCtx) {
	_, address, _, ok := f.board.Owner(0)
	if !ok {
		ingest.Starting(ctx)
		return
	}
	uri := ctx.URI()
	uri.SetHost(address)
	if err := f.client.Do(&ctx.Request, &ctx.Response); err != nil {
		_ = ctx.Conn().Close() // It may have been decided.
	}
}
