package route

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
)

// askAll asks the owners of all cells at once for what the client may read of them: a URI for each, none for an empty
// one. Who lacks a cell gets no answer: a list without it would look whole.
func (r *Router) askAll(ctx *fasthttp.RequestCtx, uri func(cell int) string) ([]*reply, *event.Problem) {
	select {
	case r.merges <- struct{}{}:
		defer func() { <-r.merges }()
	default:
		return nil, overloaded("too many answers of all cells are being put together; send it again")
	}
	within, cancel := context.WithTimeout(ctx, r.mergeIn)
	defer cancel()
	replies, errs := make([]*reply, r.o.Cells), make([]error, r.o.Cells)
	var asked sync.WaitGroup
	for cell := range replies {
		if at := uri(cell); at != "" {
			asked.Go(func() { replies[cell], errs[cell] = r.askFor(within, ctx, cell, at) })
		}
	}
	asked.Wait()
	for cell, err := range errs {
		if err != nil {
			r.logger.Debug("a cell did not answer", "cell", cell, "error", err)
			return nil, overloaded(fmt.Sprintf("cell %d has no owner that answers now; send it again", cell))
		}
	}
	return replies, nil
}

// askFor asks one owner for what the client may read, and the next one if it does not answer.
func (r *Router) askFor(
	within context.Context, ctx *fasthttp.RequestCtx, cell int, uri string,
) (p *reply, err error) {
	for range triesMax {
		p, err = r.ask(within, cell, nil, partBytesMax, func(l *link) {
			l.introduce(ctx, r.o.Hop)
			h := &l.request
			h.SetMethod(fasthttp.MethodGet)
			h.SetRequestURI(uri)
			for _, name := range []string{
				fasthttp.HeaderContentType, fasthttp.HeaderContentEncoding, fasthttp.HeaderRange, fasthttp.HeaderIfRange,
				fasthttp.HeaderIfNoneMatch, fasthttp.HeaderIfModifiedSince, fasthttp.HeaderAccept,
			} {
				h.Del(name)
			}
		})
		if err == nil || within.Err() != nil {
			return p, err
		}
	}
	return nil, err
}

// refusal returns the first reply that is no answer, nil if all are; replies with the status aside are passed over.
func refusal(replies []*reply, aside int) *reply {
	for _, p := range replies {
		if p != nil && p.status != fasthttp.StatusOK && p.status != aside {
			return p
		}
	}
	return nil
}

// pass answers with what one cell has answered.
func pass(ctx *fasthttp.RequestCtx, p *reply) {
	p.header.CopyTo(&ctx.Response.Header)
	ctx.Response.Header.Del(fasthttp.HeaderConnection)
	ctx.SetStatusCode(p.status)
	ctx.SetBody(p.body)
}

// item is an entry of a list, as a cell has written it.
type item struct {
	raw    json.RawMessage
	fields map[string]json.RawMessage
}

func (i *item) text(name string) (text string) {
	_ = json.Unmarshal(i.fields[name], &text) // What is no text is none.
	return text
}

func (i *item) number(name string) uint64 {
	n, _ := strconv.ParseUint(string(i.fields[name]), 10, 64)
	return n
}

// page is a page of a list.
type page struct {
	items []item
	next  string // the cursor to go on at; empty at the end
}

// readPage reads what a cell has answered.
func readPage(p *reply, member string) (pg page, err error) {
	var whole map[string]json.RawMessage
	if err = json.Unmarshal(p.body, &whole); err != nil {
		return pg, fmt.Errorf("a page of a list: %w", err)
	}
	var raws []json.RawMessage
	var next *string
	if err = errors.Join(json.Unmarshal(whole[member], &raws), json.Unmarshal(whole["next"], &next)); err != nil {
		return pg, fmt.Errorf("a page of %s: %w", member, err)
	}
	pg.items = make([]item, len(raws))
	for i, raw := range raws {
		pg.items[i].raw = raw
		if err := json.Unmarshal(raw, &pg.items[i].fields); err != nil {
			return pg, fmt.Errorf("an entry of %s: %w", member, err)
		}
	}
	if next != nil {
		pg.next = *next
	}
	return pg, nil
}

// answerPage sends a page; next is the cursor to go on at, empty at the end.
func answerPage(ctx *fasthttp.RequestCtx, member string, items []item, next string) {
	body := append([]byte(`{"`+member+`":[`), ""...)
	for i := range items {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, items[i].raw...)
	}
	body = append(body, `],"next":`...)
	if next == "" {
		body = append(body, "null"...)
	} else {
		body = append(strconv.AppendQuote(body, next), ""...) // Cursors need no escapes.
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(append(body, '}'))
}

// limitOf returns how long a page may be. Limits that are none are refused by the cells.
func limitOf(ctx *fasthttp.RequestCtx) int {
	if n, err := strconv.Atoi(string(ctx.QueryArgs().Peek("limit"))); err == nil && n > 0 {
		return n
	}
	return pageDefault
}

// uriOf returns the request's own URI with another cursor, none if it is empty, and another limit if it is positive.
func uriOf(ctx *fasthttp.RequestCtx, cursor string, limit int) string {
	args := fasthttp.AcquireArgs()
	defer fasthttp.ReleaseArgs(args)
	ctx.QueryArgs().CopyTo(args)
	args.Del("cursor")
	if cursor != "" {
		args.Set("cursor", cursor)
	}
	if limit > 0 {
		args.Set("limit", strconv.Itoa(limit))
	}
	uri := string(ctx.URI().PathOriginal())
	if args.Len() > 0 {
		uri += "?" + args.String()
	}
	return uri
}

// broken answers that a cell's answer cannot be read.
func (r *Router) broken(ctx *fasthttp.RequestCtx, err error) {
	r.logger.Error("an answer of a cell could not be read", "path", string(ctx.Path()), "error", err)
	r.refuse(ctx, &event.Problem{Code: event.InternalError, Detail: "the node's log says why"})
}

func badCursor() *event.Problem {
	return &event.Problem{
		Code: event.InvalidArgument, Field: "cursor", Detail: "cursor: must be the next of an answer of this list",
	}
}
