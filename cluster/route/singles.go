package route

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// disk is what GET /v1/disk answers.
type disk struct {
	FreeBytes uint64     `json:"free_bytes"`
	StopBytes uint64     `json:"stop_bytes"`
	DaysLeft  *float64   `json:"days_left"`
	Kinds     []diskKind `json:"kinds"`
}

type diskKind struct {
	Kind        string `json:"kind"`
	Bytes       uint64 `json:"bytes"`
	GrowthBytes *int64 `json:"growth_bytes_per_day"`
}

// showDisk answers with what one copy of each cell takes, and with the least room that an owner has.
func (r *Router) showDisk(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) {
		return
	}
	replies, problem := r.askAll(ctx, func(int) string { return "/v1/disk" })
	if problem != nil {
		r.refuse(ctx, problem)
		return
	}
	if p := refusal(replies, 0); p != nil {
		pass(ctx, p)
		return
	}
	var sum disk
	for i, p := range replies {
		var d disk
		if err := json.Unmarshal(p.body, &d); err != nil {
			r.broken(ctx, err)
			return
		}
		if i == 0 {
			sum = d
			continue
		}
		sum.FreeBytes, sum.StopBytes = min(sum.FreeBytes, d.FreeBytes), max(sum.StopBytes, d.StopBytes)
		if sum.DaysLeft == nil || d.DaysLeft != nil && *d.DaysLeft < *sum.DaysLeft {
			sum.DaysLeft = d.DaysLeft
		}
		sum.add(d.Kinds)
	}
	r.answer(ctx, sum)
}

func (d *disk) add(kinds []diskKind) {
	for _, k := range kinds {
		at := 0
		for at < len(d.Kinds) && d.Kinds[at].Kind != k.Kind {
			at++
		}
		if at == len(d.Kinds) {
			d.Kinds = append(d.Kinds, k)
			continue
		}
		own := &d.Kinds[at]
		own.Bytes += k.Bytes
		if own.GrowthBytes == nil || k.GrowthBytes == nil {
			own.GrowthBytes = nil // Nobody knows yet.
			continue
		}
		sum := *own.GrowthBytes + *k.GrowthBytes
		own.GrowthBytes = &sum
	}
}

// answer sends v as JSON.
func (r *Router) answer(ctx *fasthttp.RequestCtx, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		r.broken(ctx, err)
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}

// showHook answers with a webhook of whichever cells have it: one that is bound to no account delivers from each.
func (r *Router) showHook(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) {
		return
	}
	uri := string(ctx.URI().PathOriginal())
	replies, problem := r.askAll(ctx, func(int) string { return uri })
	if problem != nil {
		r.refuse(ctx, problem)
		return
	}
	if p := refusal(replies, fasthttp.StatusNotFound); p != nil {
		pass(ctx, p)
		return
	}
	var same []item
	for _, p := range replies {
		if p.status != fasthttp.StatusOK {
			continue
		}
		it := item{raw: p.body}
		if err := json.Unmarshal(p.body, &it.fields); err != nil {
			r.broken(ctx, err)
			return
		}
		same = append(same, it)
	}
	if len(same) == 0 {
		pass(ctx, replies[0])
		return
	}
	ctx.SetContentType("application/json")
	ctx.SetBody(oneHook(same).raw)
}

// atFirst has the first cell answer that has what the path names.
func (r *Router) atFirst(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) {
		return
	}
	if !r.readBody(ctx) {
		return
	}
	for cell := range r.o.Cells {
		r.forward(ctx, cell)
		if ctx.Response.StatusCode() != fasthttp.StatusNotFound || cell == r.o.Cells-1 {
			return
		}
		ctx.Response.Reset()
	}
}

// confirmClock confirms the clocks of all owners. It may be called again when one did not answer.
func (r *Router) confirmClock(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) { // It may not.
		return
	}
	if !r.readBody(ctx) {
		return
	}
	for cell := range r.o.Cells {
		ctx.Response.Reset()
		r.forward(ctx, cell)
		if ctx.Response.StatusCode() != fasthttp.StatusNoContent {
			return
		}
	}
}

// readBody takes a small body into memory, so that it can be looked at, and sent more than once. It returns false if
// the request was answered.
func (r *Router) readBody(ctx *fasthttp.RequestCtx) bool {
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return true
	}
	body, err := io.ReadAll(io.LimitReader(stream, smallBodyBytesMax+1))
	length := ctx.Request.Header.ContentLength()
	switch {
	case err != nil, length > len(body) && len(body) <= smallBodyBytesMax, length == chunked && cutShort(ctx.Conn()):
		r.refuseBody(ctx, err)
		return false
	case len(body) > smallBodyBytesMax:
		r.refuse(ctx, &event.Problem{
			Code: event.BodyTooLarge, Detail: "the body is over " + strconv.Itoa(smallBodyBytesMax) + " bytes",
		})
		return false
	}
	ctx.Request.SetBody(body)
	return true
}

// createSnapshot has the cell make a snapshot whose account it is of, or that made the one it corrects. One of all
// accounts is made by the owner of cell 0.
func (r *Router) createSnapshot(ctx *fasthttp.RequestCtx) {
	if r.atOwn(ctx) || !r.readBody(ctx) {
		return
	}
	var asked struct{ Account, Corrects string }
	_ = json.Unmarshal(ctx.Request.Body(), &asked) // What is wrong with it the cell says.
	switch {
	case asked.Account != "":
		r.toNamed(ctx, license.NameAccount, asked.Account)
	default:
		r.forward(ctx, r.snapshotCell(asked.Corrects))
	}
}

// createDownload asks the cell for a ticket whose file it is. The ticket that the client gets has the cell in it.
func (r *Router) createDownload(ctx *fasthttp.RequestCtx) {
	if !r.readBody(ctx) {
		return
	}
	cell, ok, problem := r.boundTo(ctx)
	if problem == nil && !ok {
		var asked struct{ Path string }
		_ = json.Unmarshal(ctx.Request.Body(), &asked) // What is wrong with it the cell says.
		cell, problem = r.cellOfFile(ctx, asked.Path)
	}
	if problem != nil {
		r.refuse(ctx, problem)
		return
	}
	r.forward(ctx, cell)
	if ctx.Response.StatusCode() != fasthttp.StatusCreated {
		return
	}
	var made struct {
		URL string `json:"url"`
	}
	if err := json.Unmarshal(ctx.Response.Body(), &made); err != nil {
		r.broken(ctx, err)
		return
	}
	made.URL = ticketsPath + strconv.Itoa(cell) + "-" + strings.TrimPrefix(made.URL, ticketsPath)
	ctx.Response.Header.Set(fasthttp.HeaderLocation, made.URL)
	r.answer(ctx, made)
}

const ticketsPath = "/v1/downloads/"

// cellOfFile returns the cell that has a file that can be downloaded.
func (r *Router) cellOfFile(ctx *fasthttp.RequestCtx, path string) (int, *event.Problem) {
	path, query, _ := strings.Cut(path, "?")
	words := strings.Split(path, "/")
	switch {
	case len(words) > 3 && words[2] == "snapshots":
		return r.snapshotCell(words[3]), nil
	case len(words) > 3 && words[2] == "accounts":
		return r.cellOf(ctx, license.NameAccount, words[3])
	case len(words) > 3 && words[2] == "products":
		return r.cellOf(ctx, license.NameProduct, words[3])
	}
	var args fasthttp.Args
	args.Parse(query)
	kind, name := usageOf(&args)
	return r.cellOf(ctx, kind, name)
}

// download has the cell answer that is in the ticket.
func (r *Router) download(ctx *fasthttp.RequestCtx) {
	text, ticket, has := strings.Cut(pathName(ctx, "ticket"), "-")
	cell, err := strconv.Atoi(text)
	if !has || err != nil || cell < 0 || cell >= r.o.Cells {
		cell, ticket = 0, "none" // The owner answers as late as guesses are answered.
	}
	ctx.Request.SetRequestURI(ticketsPath + ticket)
	r.forward(ctx, cell)
}
