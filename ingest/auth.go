package ingest

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
)

// authorize returns the token of a gateway's request, or answers and returns nil. A request without a valid token is
// answered late, so that guessing tokens is slow.
func (h *Handler) authorize(ctx *fasthttp.RequestCtx) *access.Token {
	nowMs := h.engine.NowMs()
	token, problem := access.Authorize(
		h.engine.Catalogue(),
		ctx.Request.Header.Peek("Authorization"),
		access.RightEvents,
		nowMs,
	)
	if problem == nil {
		return token
	}
	if problem.Code == event.Unauthorized && !h.penalties.Hold(h.origin(ctx), nowMs, ctx.Done()) {
		ctx.SetConnectionClose()
	}
	if err := h.engine.Durable(); err != nil { // Another node may know the token by now.
		fail(ctx, err)
		return nil
	}
	refuse(ctx, problem)
	return nil
}

// origin returns the address of the client, also if a node of the cluster forwards its request.
func (h *Handler) origin(ctx *fasthttp.RequestCtx) []byte {
	header := &ctx.Request.Header
	return h.hop.Origin(ctx.RemoteIP(), header.Peek(access.HeaderHop), header.Peek(access.HeaderClient))
}
