package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"

	"github.com/fasthttp/router"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/usage/history"
)

// formType is what the body of a POST may be.
const formType = "application/x-www-form-urlencoded"

// routePrometheus adds the reading paths of Prometheus, each by GET and POST, and no other.
func (h *Handler) routePrometheus(r *router.Router) {
	for _, path := range []string{"query", "query_range", "series", "labels", "label/{label}/values"} {
		answer := h.guard(access.RightUsage, func(c *call) error { return c.queryHistory(path) })
		for _, method := range []string{fasthttp.MethodGet, fasthttp.MethodHead, fasthttp.MethodPost} {
			r.Handle(method, "/prometheus/api/v1/"+path, answer)
		}
	}
}

// queryHistory answers with the usage history, as far as the token may see it. Nothing of the request is handed on but
// what package history understands of it.
func (c *call) queryHistory(path string) error {
	switch {
	case c.o.History != nil:
	case c.o.Cell.isAlone():
		return &event.Problem{Code: event.NotFound, Detail: "the usage history is switched off (--usage-history=false)"}
	default:
		return &event.Problem{
			Code: event.NotFound,
			Detail: "a cluster with several cells keeps its usage history in one VictoriaMetrics: start every node with " +
				"--usage-url",
		}
	}
	form, err := c.queryForm()
	if err != nil {
		return err
	}
	q := history.Query{Path: path, Form: form, Account: c.token.Account}
	if path == "label/{label}/values" {
		q.Path, q.Label = "values", c.path("label")
	}
	answer, err := c.o.History.Query(c.ctx, q)
	switch {
	case errors.Is(err, history.ErrBusy):
		return &event.Problem{Code: event.Overloaded, Detail: "too many queries of the usage history run; ask again"}
	case errors.Is(err, history.ErrNoStore):
		c.logger.Warn("a query of the usage history was not answered", "error", err)
		return &event.Problem{
			Code:   event.Overloaded,
			Detail: "the usage history does not answer now; events are decided as ever",
		}
	case err != nil:
		return err
	}
	c.ctx.SetStatusCode(answer.Status)
	c.ctx.SetContentType(answer.ContentType)
	c.ctx.Response.SetBodyRaw(answer.Body)
	return nil
}

// queryForm returns the parameters of the URL, then those of the body.
func (c *call) queryForm() (url.Values, error) {
	form, err := url.ParseQuery(string(c.ctx.URI().QueryString()))
	if err != nil {
		return nil, invalid("query", "the URL's parameters cannot be read")
	}
	if !c.ctx.IsPost() {
		return form, nil
	}
	body, err := readForm(c.ctx)
	if err != nil {
		return nil, err
	}
	more, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid("query", "the body's parameters cannot be read")
	}
	for name, values := range more {
		form[name] = append(form[name], values...)
	}
	return form, nil
}

// readForm returns the body of a POST, which is empty or a form.
func readForm(ctx *fasthttp.RequestCtx) ([]byte, error) {
	header := &ctx.Request.Header
	stream := ctx.RequestBodyStream()
	if stream == nil {
		stream = bytes.NewReader(ctx.Request.Body())
	}
	body, err := io.ReadAll(io.LimitReader(stream, formBytesMax+1))
	if err != nil {
		return nil, &event.Problem{Code: event.BadRequest, Detail: "the body ended too early"}
	}
	if len(body) == 0 {
		return nil, nil
	}
	if encoding := string(header.ContentEncoding()); encoding != "" && encoding != "identity" {
		return nil, &event.Problem{Code: event.UnsupportedEncoding, Detail: "Content-Encoding: a query is sent plain"}
	}
	kind, _, err := mime.ParseMediaType(string(header.ContentType()))
	switch {
	case err != nil || kind != formType:
		return nil, &event.Problem{Code: event.UnsupportedMedia, Detail: "Content-Type: must be " + formType}
	case len(body) > formBytesMax:
		return nil, &event.Problem{Code: event.BodyTooLarge, Detail: fmt.Sprintf("the body is over %d bytes", formBytesMax)}
	}
	return body, nil
}
