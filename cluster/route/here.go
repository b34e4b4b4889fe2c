package route

import (
	"fmt"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/metric"
)

// handleHere answers what is about this node, and what every node has. It returns false for everything else.
func (r *Router) handleHere(ctx *fasthttp.RequestCtx) bool {
	var answer fasthttp.RequestHandler
	switch path := string(ctx.Path()); {
	case path == "/livez":
		answer = func(ctx *fasthttp.RequestCtx) { plain(ctx, "ok\n") }
	case path == "/readyz":
		answer = r.readyz
	case path == "/metrics":
		answer = r.metrics
	case path == "/openapi.json", path == "/docs", strings.HasPrefix(path, "/docs/"):
		r.o.Documents(ctx)
		return true
	default:
		return false
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		r.refuse(ctx, &event.Problem{Code: event.MethodNotAllowed, Detail: "use GET or HEAD"})
		return true
	}
	answer(ctx)
	return true
}

// readyz says whether the node can pass requests on: it is not about to end, and knows the owner of a cell; after its
// start each cell must have had an owner, or completeWithin is over. Later one cell without an owner is no reason to
// leave this node out, for it is no better on the others. ?verbose names each owner.
func (r *Router) readyz(ctx *fasthttp.RequestCtx) {
	owned := 0
	var text strings.Builder
	for cell := range r.o.Cells {
		node, address, epoch, ok := r.o.Board.Owner(cell)
		if !ok {
			fmt.Fprintf(&text, "cell %d: has no owner\n", cell)
			continue
		}
		owned++
		fmt.Fprintf(&text, "cell %d: owned by %s at %s, epoch %d\n", cell, node, address, epoch)
	}
	if owned == r.o.Cells {
		r.complete.Store(true)
	}
	switch {
	case r.o.Leaving():
		r.refuse(ctx, overloaded("the node is stopping"))
	case owned == 0:
		r.refuse(ctx, overloaded("no cell has an owner that this node knows of"))
	case !r.complete.Load() && time.Since(r.made) < completeWithin:
		r.refuse(ctx, overloaded(fmt.Sprintf("%d of %d cells have an owner so far", owned, r.o.Cells)))
	case ctx.QueryArgs().Has("verbose"):
		plain(ctx, "ok\n"+text.String())
	default:
		plain(ctx, "ok\n")
	}
}

func plain(ctx *fasthttp.RequestCtx, text string) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(text)
}

// metrics shows this node and the cells that it owns, on a loopback address to everybody, else to tokens that may read
// everything. A token is looked up in this node's copies: whoever watches nodes must see one that reaches no other.
func (r *Router) metrics(ctx *fasthttp.RequestCtx) {
	if !r.o.Loopback {
		if problem := r.mayRead(ctx); problem != nil {
			writeProblem(&ctx.Response, problem)
			return
		}
	}
	ctx.SetContentType(metric.ContentType)
	ctx.SetBody(metric.Text(r.o.Metrics()...))
}

func (r *Router) mayRead(ctx *fasthttp.RequestCtx) *event.Problem {
	catalogue := r.o.Catalogues(0)
	if catalogue == nil {
		return overloaded("this node has no copy of cell 0 yet")
	}
	nowMs := time.Now().UnixMilli()
	header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	token, problem := access.Authorize(catalogue, header, access.RightRead, nowMs)
	switch {
	case problem == nil && token.Account != "":
		return &event.Problem{
			Code: event.Forbidden, Detail: "the token " + token.Name + " is bound to an account; the node serves all",
		}
	case problem == nil:
		return nil
	}
	if problem.Code == event.Unauthorized && !r.penalties.Hold(ctx.RemoteIP(), nowMs, ctx.Done()) {
		ctx.SetConnectionClose()
	}
	return problem
}
