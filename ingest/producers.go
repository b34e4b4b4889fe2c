package ingest

import (
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
)

const producersPath, offlineSuffix = "/v1/producers/", "/offline"

// producer answers what lies under /v1/producers/.
func (h *Handler) producer(ctx *fasthttp.RequestCtx, path string) {
	name := path[len(producersPath):]
	if offline, ok := strings.CutSuffix(name, offlineSuffix); ok {
		h.gateway(
			ctx,
			fasthttp.MethodPost,
			func(ctx *fasthttp.RequestCtx, token *access.Token) { h.offline(ctx, token, offline) },
		)
		return
	}
	switch method := string(ctx.Method()); method {
	case fasthttp.MethodGet:
		h.gateway(ctx, method, func(ctx *fasthttp.RequestCtx, token *access.Token) { h.sequences(ctx, token, name) })
	case fasthttp.MethodDelete:
		h.gateway(ctx, method, func(ctx *fasthttp.RequestCtx, token *access.Token) { h.forget(ctx, token, name) })
	default:
		refuseMethod(ctx, "GET, DELETE")
	}
}

// sequences answers GET /v1/producers/{producer}: where a gateway goes on after its restart.
func (h *Handler) sequences(ctx *fasthttp.RequestCtx, token *access.Token, name string) {
	s, known, err := h.engine.Sequences(token.AccountID, name)
	if err != nil {
		fail(ctx, err)
		return
	}
	if !known {
		refuse(ctx, unknownProducer())
		return
	}
	b := append([]byte(`{"producer":"`), name...) // Names need no escapes.
	if !s.Any {
		b = append(b, `","last_sequence":null,"oldest_remembered":null}`...)
	} else {
		b = append(b, `","last_sequence":`...)
		b = strconv.AppendUint(b, s.Last, 10)
		b = append(b, `,"oldest_remembered":`...)
		b = append(strconv.AppendUint(b, s.Oldest, 10), '}')
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(b)
}

// illProducer refuses a producer whose name, which came as field, may not be one.
func illProducer(field string) *event.Problem {
	return &event.Problem{
		Code: event.InvalidArgument, Field: field, Detail: field + ": must be 1 to 64 bytes of A-Z a-z 0-9 . _ : -",
	}
}

func unknownProducer() *event.Problem {
	return &event.Problem{Code: event.NotFound, Field: "producer", Detail: "producer: no request has named it"}
}

// forget answers DELETE /v1/producers/{producer}: its name and sequences are forgotten. Whoever sends a parameter
// expects that less is.
func (h *Handler) forget(ctx *fasthttp.RequestCtx, token *access.Token, name string) {
	for key := range ctx.QueryArgs().All() {
		field := string(key)
		refuse(ctx, &event.Problem{
			Code: event.InvalidArgument, Field: field, Detail: field + ": a DELETE takes no parameters",
		})
		return
	}
	found, err := h.engine.ForgetProducer(token, name)
	switch {
	case err != nil:
		fail(ctx, err)
	case !found:
		refuse(ctx, unknownProducer())
	default:
		ctx.SetStatusCode(fasthttp.StatusNoContent)
	}
}

// offline answers POST /v1/producers/{producer}/offline.
func (h *Handler) offline(ctx *fasthttp.RequestCtx, token *access.Token, name string) {
	if !event.ValidName([]byte(name)) {
		refuse(ctx, illProducer("producer"))
		return
	}
	n, err := h.engine.Offline(token, name)
	if err != nil {
		fail(ctx, err)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(strconv.AppendInt([]byte(`{"devices":`), int64(n), 10), '}'))
}
