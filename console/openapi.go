package console

import "github.com/valyala/fasthttp"

// showOpenAPI answers GET /openapi.json: what this daemon answers, as OpenAPI. It needs no token.
func (h *Handler) showOpenAPI(ctx *fasthttp.RequestCtx) {
	document, err := h.openAPI()
	if err != nil {
		h.fail(ctx, err)
		return
	}
	ctx.SetContentType(mediaJSON)
	ctx.Response.SetBodyRaw(document)
}
