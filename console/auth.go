package console

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// authorize returns the token of a request, which has the right. Without one it has answered: late if no token is valid
// at all, so that who sends wrong ones is slowed down.
func (h *Handler) authorize(
	ctx *fasthttp.RequestCtx,
	catalogue *license.Catalogue,
	right license.Right,
) *license.Token {
	nowMs := h.engine.NowMs()
	token, problem := license.Authorize(catalogue, ctx.Request.Header.Peek(fasthttp.HeaderAuthorization), right, nowMs)
	if problem == nil {
		return token
	}
	if problem.Code == event.Unauthorized && !h.penalties.Hold(ctx.RemoteIP(), nowMs, ctx.Done()) {
		ctx.SetConnectionClose()
	}
	writeProblem(ctx, problem)
	return nil
}
