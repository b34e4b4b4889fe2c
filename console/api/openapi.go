package api

import (
	"log/slog"
	"sync"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/docs"
)

// pagePolicy has the page take nothing but what this daemon sends, and run no script that stands in it. Redoc writes
// its styles into an element that is empty: the first hash is that of nothing. The other one is of styles that it
// brings.
const pagePolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"style-src 'self' 'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=' " +
	"'sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc='; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// routeOpenAPI adds what this daemon answers, as OpenAPI, and a page that shows it to people. They need no token.
func (h *Handler) routeOpenAPI(r *router.Router) {
	for path, answer := range map[string]fasthttp.RequestHandler{
		"/openapi.json":            h.showOpenAPI,
		"/docs":                    h.showPage(docs.PageName, "text/html; charset=utf-8"),
		"/docs/" + docs.StyleName:  h.showPage(docs.StyleName, "text/css; charset=utf-8"),
		"/docs/" + docs.ScriptName: h.showPage(docs.ScriptName, "text/javascript; charset=utf-8"),
	} {
		r.GET(path, answer)
		r.HEAD(path, answer)
	}
}

// Documents returns what answers /openapi.json and /docs alone: every node of a cluster has them.
func Documents(logger *slog.Logger) fasthttp.RequestHandler {
	h := &Handler{openAPI: sync.OnceValues(docs.OpenAPI), logger: logger}
	r := newRoutes()
	h.routeOpenAPI(r)
	return r.Handler
}

// showOpenAPI answers GET /openapi.json.
func (h *Handler) showOpenAPI(ctx *fasthttp.RequestCtx) {
	document, err := h.openAPI()
	if err != nil {
		h.fail(ctx, err)
		return
	}
	ctx.SetContentType(mediaJSON)
	ctx.Response.SetBodyRaw(document)
}

// showPage answers with a file of the page.
func (h *Handler) showPage(name, kind string) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		content, err := docs.PageFile(name)
		if err != nil {
			h.fail(ctx, err)
			return
		}
		header := &ctx.Response.Header
		header.Set(fasthttp.HeaderContentSecurityPolicy, pagePolicy)
		header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
		header.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
		ctx.SetContentType(kind)
		ctx.Response.SetBodyRaw(content)
	}
}
