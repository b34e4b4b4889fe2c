package api

import (
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
)

// notFound is the same answer for what does not exist and for what the token may not know of.
func notFound(kind, name string) error {
	return &event.Problem{Code: event.NotFound, Field: kind, Detail: kind + ": there is none called " + name}
}

func invalid(field, detail string) error {
	return &event.Problem{Code: event.InvalidArgument, Field: field, Detail: field + ": " + detail}
}

// fail answers an error. After ErrStopped nobody knows what reached the disk: the connection is closed without an
// answer.
func (h *Handler) fail(ctx *fasthttp.RequestCtx, err error) {
	p := shard.ProblemOf(err)
	var need *needsReservation
	switch {
	case p != nil:
	case errors.As(err, &need):
		ctx.SetStatusCode(fasthttp.StatusPreconditionRequired)
		ctx.Response.Header.Set(access.HeaderName, need.what)
		return
	case errors.Is(err, shard.ErrStopped):
		ctx.SetConnectionClose()
		_ = ctx.Conn().Close() // No answer may leave; what it fails with says nothing.
		return
	case errors.Is(err, context.Canceled):
		p = &event.Problem{Code: event.Overloaded, Detail: "the daemon is stopping; send it again"}
	default:
		h.logger.Error(
			"a request could not be answered",
			"method",
			string(ctx.Method()),
			"path",
			string(ctx.Path()),
			"error",
			err,
		)
		p = &event.Problem{Code: event.InternalError, Detail: "the daemon's log says why"}
	}
	writeProblem(ctx, p)
}

func writeProblem(ctx *fasthttp.RequestCtx, p *event.Problem) {
	ctx.SetStatusCode(p.Code.Status())
	ctx.SetContentType("application/problem+json")
	switch p.Code.Status() {
	case fasthttp.StatusServiceUnavailable:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, event.RetryAfter())
	case fasthttp.StatusUnauthorized:
		ctx.Response.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
	ctx.SetBody(wire.AppendProblem(nil, p))
}
