package console

import (
	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// routes is the table of all calls: path, what the token must allow, who answers.
func (h *Handler) routes() fasthttp.RequestHandler {
	r := router.New()
	// A path is right or it is not: a redirected POST would lose its body with many clients.
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.NotFound, r.MethodNotAllowed, r.GlobalOPTIONS = noSuchPath, wrongMethod, options

	get := func(path string, right license.Right, answer func(*call) error) {
		r.GET(path, h.guard(right, answer))
		r.HEAD(path, h.guard(right, answer)) // The server leaves the body out.
	}
	post := func(path string, right license.Right, answer func(*call) error) { r.POST(path, h.guard(right, answer)) }

	post("/v1/accounts", license.RightAdminister, (*call).createAccount)
	get("/v1/accounts", license.RightRead, (*call).listAccounts)
	get("/v1/accounts/{account}", license.RightRead, (*call).showAccount)
	get("/v1/accounts/{account}/licenses", license.RightUsage, (*call).listAccountLicenses)

	post("/v1/products", license.RightOperate, (*call).createProduct)
	get("/v1/products", license.RightRead, (*call).listProducts)
	get("/v1/products/{product}", license.RightRead, (*call).showProduct)
	r.PUT("/v1/products/{product}/plan", h.guard(license.RightAdminister, (*call).setPlan))
	post("/v1/products/{product}/lots", license.RightAdminister, (*call).creditLot)
	get("/v1/products/{product}/lots", license.RightRead, (*call).listLots)
	post("/v1/products/{product}/topups", license.RightAdminister, (*call).creditTopup)
	get("/v1/products/{product}/topups", license.RightRead, (*call).listTopups)
	get("/v1/products/{product}/licenses", license.RightUsage, (*call).listProductLicenses)
	get("/v1/products/{product}/devices", license.RightRead, (*call).listDevices)
	get("/v1/products/{product}/devices/{device}", license.RightRead, (*call).showDevice)
	get("/v1/products/{product}/devices/{device}/logs", license.RightRead, (*call).showLogs)

	get("/v1/audit", license.RightAdminister, (*call).showAudit)
	post("/v1/clock/confirm", license.RightAdminister, (*call).confirmClock)

	for path, answer := range map[string]fasthttp.RequestHandler{
		"/livez": h.livez, "/readyz": h.readyz, "/metrics": h.metrics,
	} {
		r.GET(path, answer)
		r.HEAD(path, answer)
	}
	return r.Handler
}

func noSuchPath(ctx *fasthttp.RequestCtx) {
	writeProblem(ctx, &event.Problem{Code: event.NotFound, Detail: "there is nothing at this path"})
}

// wrongMethod is called with the header Allow set.
func wrongMethod(ctx *fasthttp.RequestCtx) {
	writeProblem(ctx, &event.Problem{
		Code:   event.MethodNotAllowed,
		Detail: "use one of " + string(ctx.Response.Header.Peek(fasthttp.HeaderAllow)),
	})
}

// options is called with the header Allow set.
func options(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNoContent) }
