package api

import (
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/metric"
)

// registerMetrics adds what the engine does not know of.
func (h *Handler) registerMetrics() {
	h.o.Metrics.Gauges("meterd_disk_free_bytes", "Bytes that are free for the data directory.").Func(
		func() float64 { return float64(h.o.DiskFree()) },
	)
	h.o.Metrics.Gauges("meterd_log_readers", "Requests that read the log of a device.").Func(
		func() float64 { return float64(h.readers.count()) },
	)
	h.o.Metrics.Gauges("meterd_log_followers", "Requests that follow the log of a device or a product.").Func(
		func() float64 { return float64(h.followers.count()) },
	)
	h.o.Metrics.Gauges("meterd_build_info", "The version of the daemon, always 1.").Func(
		func() float64 { return 1 }, "version", h.o.Version,
	)
}

// livez answers as long as the process lives.
func (h *Handler) livez(ctx *fasthttp.RequestCtx) { plain(ctx, "ok\n") }

// readyz says whether events are taken; with ?verbose also how each view of the log stands, a line each. A clock that
// leapt ahead stops events, not the door that it is confirmed through, and a view that fails stops nothing: a load
// balancer that took the daemon out would leave nobody to mend them.
func (h *Handler) readyz(ctx *fasthttp.RequestCtx) {
	if !h.o.Ready() {
		writeProblem(ctx, &event.Problem{Code: event.Overloaded, Detail: "the daemon is recovering or stopping"})
		return
	}
	text := "ok\n"
	if h.engine.ClockLeapt() {
		text = "ok, but events are refused: the clock leapt ahead; set it right, or confirm it with POST /v1/clock/confirm\n"
	}
	if ctx.QueryArgs().Has("verbose") {
		for _, v := range h.engine.Views() {
			state := "follows the log"
			if v.Failed {
				state = "FAILED, the log says why; it is tried again"
			}
			text += fmt.Sprintf("view %s: %s, %.1f s behind", v.Name, state, v.Lag.Seconds())
			if v.AvailableFromMs != 0 {
				text += ", begins at " + time.UnixMilli(v.AvailableFromMs).UTC().Format(time.RFC3339)
			}
			text += "\n"
		}
		if h.o.Health != nil {
			for _, line := range h.o.Health() {
				text += line + "\n"
			}
		}
		if h.o.History != nil {
			for _, line := range h.o.History.Status() {
				text += line + "\n"
			}
		}
	}
	plain(ctx, text)
}

func plain(ctx *fasthttp.RequestCtx, text string) {
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(text)
}

// metrics answers GET /metrics, on a loopback address to everybody, else to tokens that may read everything.
func (h *Handler) metrics(ctx *fasthttp.RequestCtx) {
	if !h.o.Loopback {
		token := h.authorize(ctx, h.engine.Catalogue(), access.RightRead)
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
	ctx.SetContentType(metric.ContentType)
	ctx.SetBody(h.o.Metrics.Text())
}
