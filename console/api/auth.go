package api

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// authorize returns the token of a request, which has the right. Without one it has answered: late if no token is valid
// at all, so that a client with wrong ones is slowed down.
func (h *Handler) authorize(
	ctx *fasthttp.RequestCtx,
	catalogue *license.Catalogue,
	right access.Right,
) *access.Token {
	if token, ok := ctx.UserValue(bearer{}).(*access.Token); ok { // It came with a ticket.
		if token.Allows(right) {
			return token
		}
		h.refuse(ctx, access.Forbid(token))
		return nil
	}
	nowMs := h.engine.NowMs()
	token, problem := access.Authorize(catalogue, ctx.Request.Header.Peek(fasthttp.HeaderAuthorization), right, nowMs)
	if problem == nil {
		return token
	}
	if problem.Code == event.Unauthorized && !h.penalties.Hold(h.origin(ctx), nowMs, ctx.Done()) {
		ctx.SetConnectionClose()
	}
	h.refuse(ctx, problem)
	return nil
}

// refuse answers with a problem that comes from the catalogue: another node may know the token by now.
func (h *Handler) refuse(ctx *fasthttp.RequestCtx, problem *event.Problem) {
	if err := h.engine.Durable(); err != nil {
		h.fail(ctx, err)
		return
	}
	writeProblem(ctx, problem)
}

// origin returns the address of the client, also if a node of the cluster forwards its request.
func (h *Handler) origin(ctx *fasthttp.RequestCtx) []byte {
	header := &ctx.Request.Header
	return h.o.Hop.Origin(ctx.RemoteIP(), header.Peek(access.HeaderHop), header.Peek(access.HeaderClient))
}
