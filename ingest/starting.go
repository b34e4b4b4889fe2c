package ingest

import (
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

// Starting answers while the daemon recovers its state: it lives, and is not ready. Who asks again comes with a new
// connection, which a loop may look after then.
func Starting(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if string(ctx.Path()) == "/livez" {
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString("ok\n")
		return
	}
	refuse(ctx, &event.Problem{Code: event.Overloaded, Detail: "the daemon is recovering its state; ask /readyz"})
}
