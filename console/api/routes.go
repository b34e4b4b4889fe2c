package api

import (
	"context"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/event"
)

// routes is the table of all calls: path, what the token must allow, method that answers.
func (h *Handler) routes() *router.Router {
	r := newRoutes()
	get := func(path string, right access.Right, answer func(*call) error) {
		r.GET(path, h.guard(right, answer))
		r.HEAD(path, h.guard(right, answer)) // The server leaves the body out.
	}
	post := func(path string, right access.Right, answer func(*call) error) { r.POST(path, h.guard(right, answer)) }
	put := func(path string, right access.Right, answer func(*call) error) { r.PUT(path, h.guard(right, answer)) }
	del := func(path string, right access.Right, answer func(*call) error) {
		r.DELETE(path, h.guard(right, func(c *call) error {
			if err := c.noParameters(); err != nil {
				return err
			}
			return answer(c)
		}))
	}

	post("/v1/accounts", access.RightAdminister, (*call).createAccount)
	get("/v1/accounts", access.RightUsage, (*call).listAccounts)
	get("/v1/accounts/{account}", access.RightUsage, (*call).showAccount)
	get("/v1/accounts/{account}/licenses", access.RightUsage, (*call).listAccountLicenses)

	post("/v1/accounts/{account}/certify", access.RightAdminister, (*call).certifyAccount)
	put("/v1/accounts/{account}/suspended", access.RightAdminister, (*call).suspendAccount)

	post("/v1/products", access.RightOperate, (*call).createProduct)
	get("/v1/products", access.RightUsage, (*call).listProducts)
	get("/v1/products/{product}", access.RightUsage, (*call).showProduct)
	put("/v1/products/{product}/plan", access.RightAdminister, (*call).setPlan)
	put("/v1/products/{product}/suspended", access.RightAdminister, (*call).suspendProduct)
	put("/v1/products/{product}/renewal", access.RightOperate, (*call).setRenewal)
	get("/v1/products/{product}/renewal", access.RightRead, (*call).showRenewal)
	put("/v1/products/{product}/log-payload", access.RightOperate, (*call).setLogPayload)
	get("/v1/products/{product}/log-payload", access.RightRead, (*call).showLogPayload)
	put("/v1/products/{product}/enforcement", access.RightAdminister, (*call).setEnforcement)
	get("/v1/products/{product}/enforcement", access.RightRead, (*call).showEnforcement)
	get("/v1/products/{product}/forecast", access.RightUsage, (*call).showForecast)
	post("/v1/products/{product}/lots", access.RightAdminister, (*call).creditLot)
	post("/v1/products/{product}/lots/{order}/void", access.RightAdminister, (*call).voidLot)
	get("/v1/products/{product}/lots", access.RightUsage, (*call).listLots)
	post("/v1/products/{product}/topups", access.RightAdminister, (*call).creditTopup)
	post("/v1/products/{product}/topups/{order}/void", access.RightAdminister, (*call).voidTopup)
	get("/v1/products/{product}/topups", access.RightUsage, (*call).listTopups)
	get("/v1/products/{product}/licenses", access.RightUsage, (*call).listProductLicenses)
	get("/v1/products/{product}/devices", access.RightRead, (*call).listDevices)
	get("/v1/products/{product}/devices/{device}", access.RightRead, (*call).showDevice)
	put("/v1/products/{product}/devices/{device}/suspended", access.RightOperate, (*call).suspendDevice)
	for name, answer := range map[string]fasthttp.RequestHandler{
		"usage": h.orDevice("usage", "month", (*call).listDeviceDays),
		"top":   h.orDevice("top", "by", (*call).topDevices),
	} {
		r.GET("/v1/products/{product}/devices/"+name, answer)
		r.HEAD("/v1/products/{product}/devices/"+name, answer)
	}
	get("/v1/products/{product}/what-if", access.RightUsage, (*call).whatIf)
	get("/v1/products/{product}/devices/{device}/usage", access.RightUsage, (*call).showDeviceDays)
	get("/v1/products/{product}/devices/{device}/logs", access.RightRead, (*call).showDeviceLog)
	get("/v1/products/{product}/logs", access.RightRead, (*call).showProductLog)
	del("/v1/products/{product}/devices/{device}/logs", access.RightOperate, (*call).eraseLogs)

	get("/v1/whoami", access.RightSelf, (*call).whoami)
	r.POST("/v1/sign-in", h.signIn)
	post("/v1/sign-in/codes", access.RightAdminister, (*call).createSignInCode)
	post("/v1/tokens", access.RightAdminister, (*call).createToken)
	get("/v1/tokens", access.RightAdminister, (*call).listTokens)
	del("/v1/tokens/{name}", access.RightAdminister, (*call).deleteToken)
	get("/v1/disk", access.RightRead, (*call).showDisk)
	get("/v1/producers", access.RightRead, (*call).listProducers)
	post("/v1/downloads", access.RightUsage, (*call).createDownload)
	r.GET("/v1/downloads/{ticket}", h.download)
	get("/v1/usage", access.RightUsage, (*call).showUsage)
	get("/v1/audit", access.RightRead, (*call).showAudit)
	post("/v1/clock/confirm", access.RightAdminister, (*call).confirmClock)

	if h.webhooks != nil {
		put("/v1/webhooks/{webhook}", access.RightOperate, (*call).putHook)
		get("/v1/webhooks", access.RightOperate, (*call).listHooks)
		get("/v1/webhooks/{webhook}", access.RightOperate, (*call).showOneHook)
		del("/v1/webhooks/{webhook}", access.RightOperate, (*call).deleteHook)
		get("/v1/webhooks/{webhook}/dead-letters", access.RightOperate, (*call).listDeadLetters)
		post("/v1/webhooks/{webhook}/dead-letters/{id}/retry", access.RightOperate, (*call).retryDeadLetter)
	}
	if h.o.Snapshots != nil {
		post("/v1/snapshots", access.RightSnapshot, (*call).createSnapshot)
		get("/v1/snapshots", access.RightUsage, (*call).listSnapshots)
		get("/v1/snapshots/{snapshot}", access.RightUsage, (*call).showSnapshot)
		get("/v1/snapshots/{snapshot}/{file}", access.RightUsage, (*call).downloadSnapshot)
	}
	if h.o.Backup != nil {
		r.GET("/v1/backup", h.orNode(h.guard(access.RightAdminister, (*call).backup), (*call).backup))
		r.HEAD("/v1/backup", h.guard(access.RightAdminister, (*call).backup))
	}
	h.routePrometheus(r)
	h.routeOpenAPI(r)

	for path, answer := range map[string]fasthttp.RequestHandler{
		"/livez": h.livez, "/readyz": h.readyz, "/metrics": h.metrics,
	} {
		r.GET(path, answer)
		r.HEAD(path, answer)
	}
	return r
}

// newRoutes returns a table without calls.
func newRoutes() *router.Router {
	r := router.New()
	// A path is right or it is not: a redirected POST would lose its body with many clients.
	r.RedirectTrailingSlash, r.RedirectFixedPath = false, false
	r.NotFound, r.MethodNotAllowed, r.GlobalOPTIONS = noSuchPath, wrongMethod, options
	return r
}

// Calls returns the paths of all calls that there may be, by method: {name} stands for one part of a path.
func Calls() map[string][]string {
	type (
		anyHooks     struct{ Webhooks }
		anySnapshots struct{ Snapshots }
	)
	h := &Handler{webhooks: anyHooks{}, o: Options{
		Snapshots: anySnapshots{}, Backup: func(context.Context) (*backup.Cut, error) { return nil, nil },
	}}
	return h.routes().List()
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
