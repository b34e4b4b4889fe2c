package console

import (
	"bytes"
	"fmt"

	"github.com/VictoriaMetrics/metrics"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// registerMetrics adds what the engine does not know of.
func (h *Handler) registerMetrics() {
	h.o.Metrics.NewGauge("meterd_disk_free_bytes", func() float64 { return float64(h.o.DiskFree()) })
	h.o.Metrics.NewGauge(fmt.Sprintf("meterd_build_info{version=%q}", h.o.Version), func() float64 { return 1 })
}

// livez answers as long as the process lives.
func (h *Handler) livez(ctx *fasthttp.RequestCtx) { plain(ctx, "ok\n") }

// readyz says whether events are taken. A clock that leapt ahead stops events, not the door that it is confirmed
// through: a load balancer that took the daemon out would leave nobody to do so.
func (h *Handler) readyz(ctx *fasthttp.RequestCtx) {
	switch {
	case !h.o.Ready():
		writeProblem(ctx, &event.Problem{Code: event.Overloaded, Detail: "the daemon is recovering or stopping"})
	case h.engine.ClockLeapt():
		plain(
			ctx,
			"ok, but events are refused: the clock leapt ahead; set it right, or confirm it with POST /v1/clock/confirm\n",
		)
	default:
		plain(ctx, "ok\n")
	}
}

func plain(ctx *fasthttp.RequestCtx, text string) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(text)
}

// metrics answers GET /metrics, on a loopback address to everybody, else to who may read everything.
func (h *Handler) metrics(ctx *fasthttp.RequestCtx) {
	if !h.o.Loopback {
		token := h.authorize(ctx, h.engine.Catalogue(), license.RightRead)
		if token == nil {
			return
		}
		if token.Account != "" {
			writeProblem(ctx, &event.Problem{
				Code: event.Forbidden, Detail: "the token " + token.Name + " is bound to an account; the daemon serves all",
			})
			return
		}
	}
	var b bytes.Buffer
	h.o.Metrics.WritePrometheus(&b)
	metrics.WriteProcessMetrics(&b)
	ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	ctx.SetBody(b.Bytes())
}
