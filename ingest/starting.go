package ingest

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

// Starting answers while the daemon recovers its state: it is alive but not ready. It closes the connection, so that
// the client's next request comes on a new one, which a loop can serve.
func Starting(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if string(ctx.Path()) == "/livez" {
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
		return
	}
	refuse(ctx, &event.Problem{Code: event.Overloaded, Detail: "the daemon is recovering its state; ask /readyz"})
}
