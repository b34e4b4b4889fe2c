package console

import (
	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// routes is the table of all calls: path, what the token must allow, who answers.
func (h *Handler) routes() *router.Router {
	r := router.New()
	// A path is right or it is not: a redirected POST would lose its body with many clients.
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.NotFound, r.MethodNotAllowed, r.GlobalOPTIONS = noSuchPath, wrongMethod, options

	get := func(path string, right license.Right, answer func(*call) error) {
		r.GET(path, h.guard(right, answer))
		r.HEAD(path, h.guard(right, answer)) // The server leaves the body out.
	}
	post := func(path string, right license.Right, answer func(*call) error) { r.POST(path, h.guard(right, answer)) }
	put := func(path string, right license.Right, answer func(*call) error) { r.PUT(path, h.guard(right, answer)) }

	post("/v1/accounts", license.RightAdminister, (*call).createAccount)
	get("/v1/accounts", license.RightUsage, (*call).listAccounts)
	get("/v1/accounts/{account}", license.RightUsage, (*call).showAccount)
	get("/v1/accounts/{account}/licenses", license.RightUsage, (*call).listAccountLicenses)

	post("/v1/accounts/{account}/certify", license.RightAdminister, (*call).certifyAccount)
	put("/v1/accounts/{account}/suspended", license.RightAdminister, (*call).suspendAccount)

	post("/v1/products", license.RightOperate, (*call).createProduct)
	get("/v1/products", license.RightUsage, (*call).listProducts)
	get("/v1/products/{product}", license.RightUsage, (*call).showProduct)
	put("/v1/products/{product}/plan", license.RightAdminister, (*call).setPlan)
	put("/v1/products/{product}/suspended", license.RightAdminister, (*call).suspendProduct)
	put("/v1/products/{product}/renewal", license.RightOperate, (*call).setRenewal)
	get("/v1/products/{product}/renewal", license.RightRead, (*call).showRenewal)
	get("/v1/products/{product}/forecast", license.RightUsage, (*call).showForecast)
	post("/v1/products/{product}/lots", license.RightAdminister, (*call).creditLot)
	post("/v1/products/{product}/lots/{order}/void", license.RightAdminister, (*call).voidLot)
	get("/v1/products/{product}/lots", license.RightUsage, (*call).listLots)
	post("/v1/products/{product}/topups", license.RightAdminister, (*call).creditTopup)
	post("/v1/products/{product}/topups/{order}/void", license.RightAdminister, (*call).voidTopup)
	get("/v1/products/{product}/topups", license.RightUsage, (*call).listTopups)
	get("/v1/products/{product}/licenses", license.RightUsage, (*call).listProductLicenses)
	get("/v1/products/{product}/devices", license.RightRead, (*call).listDevices)
	get("/v1/products/{product}/devices/{device}", license.RightRead, (*call).showDevice)
	put("/v1/products/{product}/devices/{device}/suspended", license.RightOperate, (*call).suspendDevice)
	get("/v1/products/{product}/devices/{device}/logs", license.RightRead, (*call).showLogs)

	post("/v1/tokens", license.RightAdminister, (*call).createToken)
	get("/v1/tokens", license.RightAdminister, (*call).listTokens)
	r.DELETE("/v1/tokens/{name}", h.guard(license.RightAdminister, (*call).deleteToken))
	get("/v1/audit", license.RightRead, (*call).showAudit)
	post("/v1/clock/confirm", license.RightAdminister, (*call).confirmClock)

	for path, answer := range map[string]fasthttp.RequestHandler{
		"/livez": h.livez, "/readyz": h.readyz, "/metrics": h.metrics,
	} {
		r.GET(path, answer)
		r.HEAD(path, answer)
	}
	return r
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
