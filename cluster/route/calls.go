package route

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// calls is the table of all calls that are not answered here: which cells each concerns. A token that is bound to an
// account meets its own cell alone, whatever it asks for: what belongs to others is answered there as what does not
// exist.
func (r *Router) calls() *router.Router {
	t := router.New()
	t.RedirectTrailingSlash, t.RedirectFixedPath = false, false
	// The owner of cell 0 says what is wrong with the path or its method, whatever token comes with it.
	wrong := func(ctx *fasthttp.RequestCtx) { r.forward(ctx, 0) }
	t.NotFound, t.MethodNotAllowed, t.GlobalOPTIONS = wrong, wrong, wrong
	get := func(path string, answer fasthttp.RequestHandler) {
		t.GET(path, answer)
		t.HEAD(path, answer)
	}

	t.POST("/v1/accounts", r.byName)
	get("/v1/accounts", r.list("accounts", by("account"), firstOf))
	get("/v1/accounts/{account}", r.byAccount)
	get("/v1/accounts/{account}/licenses", r.byAccount)
	t.POST("/v1/accounts/{account}/certify", r.byAccount)
	t.PUT("/v1/accounts/{account}/suspended", r.byAccount)

	t.POST("/v1/products", r.byName)
	get("/v1/products", r.listProducts)
	r.productCalls(t, get)

	get("/v1/whoami", r.atAny)
	t.POST("/v1/sign-in", r.toNames) // Its 401 is of the code.
	t.POST("/v1/sign-in/codes", r.atCellZero)
	t.POST("/v1/tokens", r.byName)
	get("/v1/tokens", r.list("tokens", by("name"), firstOf))
	t.DELETE("/v1/tokens/{name}", r.byName)
	get("/v1/disk", r.showDisk)
	get("/v1/backup", r.byCell)
	get("/v1/producers", r.list("producers", producerKey, oneProducer))
	t.POST("/v1/downloads", r.createDownload)
	t.GET("/v1/downloads/{ticket}", r.download)
	get("/v1/usage", r.showUsage)
	get("/v1/audit", r.newest("entries", "at", "number"))
	t.POST("/v1/clock/confirm", r.confirmClock)

	t.PUT("/v1/webhooks/{webhook}", r.byName)
	get("/v1/webhooks", r.list("webhooks", by("name"), oneHook))
	get("/v1/webhooks/{webhook}", r.showHook)
	t.DELETE("/v1/webhooks/{webhook}", r.byName)
	get("/v1/webhooks/{webhook}/dead-letters", r.walk("dead_letters"))
	t.POST("/v1/webhooks/{webhook}/dead-letters/{id}/retry", r.atFirst)

	t.POST("/v1/snapshots", r.createSnapshot)
	get("/v1/snapshots", r.listSnapshots)
	get("/v1/snapshots/{snapshot}", r.bySnapshot)
	get("/v1/snapshots/{snapshot}/{file}", r.bySnapshot)

	for _, path := range []string{"query", "query_range", "series", "labels", "label/{label}/values"} {
		get("/prometheus/api/v1/"+path, r.atAny)
		t.POST("/prometheus/api/v1/"+path, r.atAny)
	}
	return t
}

// productCalls adds the calls about one product.
func (r *Router) productCalls(t *router.Router, get func(string, fasthttp.RequestHandler)) {
	const product = "/v1/products/{product}"
	for _, path := range []string{
		"", "/renewal", "/log-payload", "/enforcement", "/forecast", "/lots", "/topups", "/licenses", "/devices",
		"/devices/{device}", "/devices/usage", "/devices/top", "/what-if", "/devices/{device}/usage",
		"/devices/{device}/logs", "/logs",
	} {
		get(product+path, r.byProduct)
	}
	for _, path := range []string{
		"/plan", "/suspended", "/renewal", "/log-payload", "/enforcement", "/devices/{device}/suspended",
	} {
		t.PUT(product+path, r.byProduct)
	}
	for _, path := range []string{"/lots", "/lots/{order}/void", "/topups", "/topups/{order}/void"} {
		t.POST(product+path, r.byProduct)
	}
	t.DELETE(product+"/devices/{device}/logs", r.byProduct)
}

// isGateways reports whether a path is one of gateways: whatever else a cell's server has is the people's.
func isGateways(path []byte) bool {
	switch string(path) {
	case "/v1/events", "/v1/check", "/v1/stream", "/v1/commands":
		return true
	}
	return len(path) > len(producersPath) && string(path[:len(producersPath)]) == producersPath
}

const producersPath = "/v1/producers/"

// byGateway is for what gateways call. What a token that is bound to an account sends is its cell's, whole.
func (r *Router) byGateway(ctx *fasthttp.RequestCtx) {
	switch {
	case r.atOwn(ctx):
	case r.o.Catalogues(0) == nil: // It would know no token.
		r.refuse(ctx, overloaded("this node has no copy of cell 0 yet; send it again"))
	default:
		if problem := r.lacksToken(ctx); problem != nil {
			r.refuse(ctx, problem)
			return
		}
		r.o.Gateways(ctx)
	}
}

// atCellZero has the owner of cell 0 answer, or that of the token's cell.
func (r *Router) atCellZero(ctx *fasthttp.RequestCtx) {
	if !r.atOwn(ctx) {
		r.forward(ctx, 0)
	}
}

// atAny has a cell answer that has an owner: each would answer the same.
func (r *Router) atAny(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) {
		return
	}
	for cell := range r.o.Cells {
		if _, ok := r.owner(cell); ok {
			r.forward(ctx, cell)
			return
		}
	}
	r.forward(ctx, 0)
}

// byCell has the cell answer that the request names, 0 without.
func (r *Router) byCell(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) {
		return
	}
	cell := 0
	if text := ctx.QueryArgs().Peek("cell"); len(text) > 0 {
		var err error
		if cell, err = strconv.Atoi(string(text)); err != nil || cell < 0 || cell >= r.o.Cells {
			r.refuse(ctx, &event.Problem{
				Code: event.InvalidArgument, Field: "cell", Detail: "cell: must be 0 to " + strconv.Itoa(r.o.Cells-1),
			})
			return
		}
	}
	r.forward(ctx, cell)
}

// toNames is for calls that the directory answers, or cell 0.
func (r *Router) toNames(ctx *fasthttp.RequestCtx) {
	answer := r.o.Names.Route(ctx.Method(), ctx.Path())
	if answer == nil {
		answer = r.atCellZero
	}
	if r.readBody(ctx) {
		answer(ctx)
	}
}

// byName is for calls that give or take names.
func (r *Router) byName(ctx *fasthttp.RequestCtx) {
	r.toNames(ctx)
	if ctx.Response.StatusCode() != fasthttp.StatusUnauthorized {
		return
	}
	// The cell was chosen by copies, which may be behind those who have made the token, and another one may know it.
	if problem := r.Unknown(ctx); problem.Code != event.Unauthorized {
		ctx.Response.Reset()
		writeProblem(&ctx.Response, problem)
	}
}

func (r *Router) byAccount(ctx *fasthttp.RequestCtx) {
	r.toNamed(ctx, license.NameAccount, pathName(ctx, "account"))
}

func (r *Router) byProduct(ctx *fasthttp.RequestCtx) {
	r.toNamed(ctx, license.NameProduct, pathName(ctx, "product"))
}

// showUsage is about an account or a product, and so about one cell.
func (r *Router) showUsage(ctx *fasthttp.RequestCtx) {
	kind, name := usageOf(ctx.QueryArgs())
	r.toNamed(ctx, kind, name)
}

func usageOf(query *fasthttp.Args) (kind license.NameKind, name string) {
	if account := query.Peek("account"); len(account) > 0 {
		return license.NameAccount, string(account)
	}
	return license.NameProduct, string(query.Peek("product"))
}

// toNamed has the cell answer that has an account or a product. If nobody has it, cell 0 says so.
func (r *Router) toNamed(ctx *fasthttp.RequestCtx, kind license.NameKind, name string) {
	if r.atOwn(ctx) {
		return
	}
	cell, problem := r.cellOf(ctx, kind, name)
	if problem != nil {
		r.refuse(ctx, problem)
		return
	}
	r.forward(ctx, cell)
}

// Owned reports whether a cell has an owner that takes requests. While the cell goes from one owner to the next it
// waits for that.
func (r *Router) Owned(ctx context.Context, cell int) bool {
	_, ok := r.await(ctx, cell, owner{}, time.Now().Add(r.waitMax))
	return ok
}

// bySnapshot has the cell answer whose owner made a snapshot.
func (r *Router) bySnapshot(ctx *fasthttp.RequestCtx) {
	if !r.atOwn(ctx) {
		r.forward(ctx, r.snapshotCell(pathName(ctx, "snapshot")))
	}
}

// snapshotCell returns the cell that is in the id of a snapshot: "3-s00000017" is of cell 3, "s00000017" of cell 0.
func (r *Router) snapshotCell(id string) int {
	text, _, has := strings.Cut(id, "-")
	cell, err := strconv.Atoi(text)
	if !has || err != nil || cell < 0 || cell >= r.o.Cells {
		return 0
	}
	return cell
}
