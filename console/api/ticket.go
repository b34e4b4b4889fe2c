package api

import (
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
)

// A browser saves a file of any size only from an address, and an address must not have a token in it. So the console
// asks for a ticket, an address that is good once and for a minute, and opens that.

// ticket is what an address is good for.
type ticket struct {
	token *access.Token // in whose name the file is read
	path  string        // of the call that answers with the file, with its parameters
	name  string        // of the file
}

// bearer is the key of a request's value that holds the token of its ticket.
type bearer struct{}

type downloadAnswer struct {
	URL string `json:"url"`
}

// createDownload answers POST /v1/downloads: an address from which one file can be read once, without a token.
func (c *call) createDownload() error {
	t := ticket{token: c.token}
	if err := c.read(fields{"path": text(&t.path)}); err != nil {
		return err
	}
	var ok bool
	if t.name, ok = fileName(t.path); !ok || len(t.path) > ticketPathBytesMax {
		return noFile()
	}
	probe := &fasthttp.RequestCtx{}
	probe.Init2(c.ctx.Conn(), nil, false)
	probe.Request.Header.SetMethod(fasthttp.MethodHead)
	c.present(probe, t)
	switch status := probe.Response.StatusCode(); {
	case status != fasthttp.StatusOK: // It would be refused.
		probe.Response.CopyTo(&c.ctx.Response)
		c.ctx.Response.SkipBody = false
		return nil
	case string(probe.Response.Header.ContentType()) == mediaJSON:
		return noFile()
	}
	code, ok := c.tickets.issue(c.token.Name, t, c.engine.NowMs())
	if !ok {
		return &event.Problem{Code: event.Overloaded, Detail: "too many downloads wait to be begun; send it again"}
	}
	url := "/v1/downloads/" + code
	c.ctx.Response.Header.Set(fasthttp.HeaderLocation, url)
	c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	return c.answer(fasthttp.StatusCreated, downloadAnswer{URL: url})
}

func noFile() error {
	return invalid("path", "must be that of a snapshot's file, or of licences or usage, which can be had as CSV")
}

// download answers GET /v1/downloads/{ticket}, once: as the call does that the ticket was made for.
func (h *Handler) download(ctx *fasthttp.RequestCtx) {
	nowMs := h.engine.NowMs()
	code, _ := ctx.UserValue("ticket").(string)
	t, _, ok := h.tickets.redeem(code, nowMs)
	if !ok || !h.engine.Catalogue().Honors(t.token, nowMs) {
		if !h.penalties.Hold(h.origin(ctx), nowMs, ctx.Done()) {
			ctx.SetConnectionClose()
		}
		writeProblem(ctx, &event.Problem{
			Code: event.NotFound, Field: "ticket",
			Detail: "ticket: it was used, is older than a minute, or never was one; ask for another with POST /v1/downloads",
		})
		return
	}
	h.present(ctx, t)
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	if ctx.Response.StatusCode() < fasthttp.StatusBadRequest {
		ctx.Response.Header.Set(fasthttp.HeaderContentDisposition, `attachment; filename="`+t.name+`"`)
	}
}

// present has the call answered that a ticket was made for.
func (h *Handler) present(ctx *fasthttp.RequestCtx, t ticket) {
	ctx.Request.SetRequestURI(t.path)
	ctx.Request.Header.Set(fasthttp.HeaderAccept, mediaCSV)
	ctx.SetUserValue(bearer{}, t.token)
	h.route(ctx)
}

// isProbe reports whether a request only asks, for a ticket, whether it would be answered.
func (c *call) isProbe() bool { return c.ctx.IsHead() && c.ctx.UserValue(bearer{}) != nil }

// fileName returns how a browser is to call the file that a path answers with; ok is false if it is none that is meant
// to be saved. Whether it is there is for the call to say.
func fileName(path string) (name string, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	s := strings.Split(path, "/")
	switch {
	case len(s) < 3 || s[0] != "" || s[1] != "v1":
		return "", false
	case len(s) == 3 && s[2] == "usage":
		return "usage.csv", true
	case len(s) == 5 && s[2] == "snapshots":
		return s[3] + "-" + s[4], true
	case len(s) == 5 && (s[2] == "products" || s[2] == "accounts") && s[4] == "licenses":
		return s[3] + "-licenses.csv", true
	case len(s) == 6 && s[2] == "products" && s[4] == "devices" && s[5] == "usage":
		return s[3] + "-devices.csv", true
	}
	return "", false
}
