package route

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/license"
)

// list answers with a list that each cell has in the order of keys: a page of each cell behind the same key, put
// together. A cursor is the last key, for all cells. What several cells have under one key `one` makes one entry.
func (r *Router) list(member string, key func(*item) string, one func(same []item) item) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if r.atOwn(ctx) {
			return
		}
		uri := string(ctx.RequestURI())
		pages, ok := r.pages(ctx, member, func(int) string { return uri })
		if !ok {
			return
		}
		items, next := inOrder(pages, key, one, limitOf(ctx))
		answerPage(ctx, member, items, next)
	}
}

// by returns the key of a list that is ordered by a member.
func by(member string) func(*item) string { return func(i *item) string { return i.text(member) } }

// producerKey is that of gateways: their names are unique within an account.
func producerKey(i *item) string {
	return strings.TrimSuffix(i.text("producer")+" "+i.text("account"), " ")
}

// pages asks cells for a page of a list each. It returns false if the request was answered.
func (r *Router) pages(ctx *fasthttp.RequestCtx, member string, uri func(cell int) string) (list []page, ok bool) {
	replies, problem := r.askAll(ctx, uri)
	if problem != nil {
		r.refuse(ctx, problem)
		return nil, false
	}
	if p := refusal(replies, 0); p != nil {
		pass(ctx, p)
		return nil, false
	}
	list = make([]page, len(replies))
	for i, p := range replies {
		if p == nil {
			continue
		}
		var err error
		if list[i], err = readPage(p, member); err != nil {
			r.broken(ctx, err)
			return nil, false
		}
	}
	return list, true
}

// inOrder puts pages together by their keys.
func inOrder(
	pages []page, key func(*item) string, one func(same []item) item, limit int,
) (items []item, next string) {
	last, more := "", false
	for len(items) < limit {
		isFound := false
		for i := range pages {
			if len(pages[i].items) == 0 {
				continue
			}
			if k := key(&pages[i].items[0]); !isFound || k < last {
				last, isFound = k, true
			}
		}
		if !isFound {
			break
		}
		var same []item
		for i := range pages {
			if len(pages[i].items) > 0 && key(&pages[i].items[0]) == last {
				same = append(same, pages[i].items[0])
				pages[i].items = pages[i].items[1:]
			}
		}
		if len(same) > 1 {
			same[0] = one(same)
		}
		items = append(items, same[0])
	}
	for i := range pages {
		more = more || len(pages[i].items) > 0 || pages[i].next != ""
	}
	if !more {
		return items, ""
	}
	return items, last
}

// listProducts is about one account, or about all.
func (r *Router) listProducts(ctx *fasthttp.RequestCtx) {
	if account := ctx.QueryArgs().Peek("account"); len(account) > 0 {
		r.toNamed(ctx, license.NameAccount, string(account))
		return
	}
	r.list("products", by("product"), firstOf)(ctx)
}

// listSnapshots is about one account, whose cell makes them, or about all.
func (r *Router) listSnapshots(ctx *fasthttp.RequestCtx) {
	if account := ctx.QueryArgs().Peek("account"); len(account) > 0 {
		r.toNamed(ctx, license.NameAccount, string(account))
		return
	}
	r.newest("snapshots", "sealed_at", "sequence")(ctx)
}

// newest answers with a list that each cell has by falling numbers of its own: by their times, the newest first. A
// cursor has a number for each cell, that of the last entry shown; none of a cell has one less than 1.
func (r *Router) newest(member, at, number string) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if r.atOwn(ctx) {
			return
		}
		before, ok := r.readPlaces(string(ctx.QueryArgs().Peek("cursor")))
		if !ok {
			r.refuse(ctx, badCursor())
			return
		}
		pages, ok := r.pages(ctx, member, func(cell int) string {
			switch before[cell] {
			case 0:
				return uriOf(ctx, "", 0)
			case 1:
				return ""
			}
			return uriOf(ctx, strconv.FormatUint(before[cell], 10), 0)
		})
		if !ok {
			return
		}
		answerNewest(ctx, member, at, number, pages, before)
	}
}

func answerNewest(ctx *fasthttp.RequestCtx, member, at, number string, pages []page, before []uint64) {
	var items []item
	for limit := limitOf(ctx); len(items) < limit; {
		best, bestAt := -1, time.Time{}
		for i := range pages {
			if len(pages[i].items) == 0 {
				continue
			}
			// What is no time is the oldest.
			t, _ := time.Parse(time.RFC3339, pages[i].items[0].text(at))
			if best < 0 || t.After(bestAt) {
				best, bestAt = i, t
			}
		}
		if best < 0 {
			break
		}
		it := pages[best].items[0]
		before[best], pages[best].items = it.number(number), pages[best].items[1:]
		items = append(items, it.of(best))
	}
	more := false
	for i := range pages {
		switch {
		case len(pages[i].items) > 0:
			before[i] = pages[i].items[0].number(number) + 1
		case pages[i].next == "":
			before[i] = 1
		default:
			before[i], _ = strconv.ParseUint(pages[i].next, 10, 64)
		}
		more = more || before[i] > 1
	}
	next := ""
	if more {
		next = writePlaces(before)
	}
	answerPage(ctx, member, items, next)
}

// of returns an entry with the cell that it is of, unless its id says that.
func (i item) of(cell int) item {
	if i.fields["id"] == nil {
		i.raw = append([]byte(`{"cell":`+strconv.Itoa(cell)+`,`), bytes.TrimPrefix(i.raw, []byte{'{'})...)
	}
	return i
}

// readPlaces reads a cursor with a number for each cell; without one all are 0.
func (r *Router) readPlaces(cursor string) (places []uint64, ok bool) {
	places = make([]uint64, r.o.Cells)
	if cursor == "" {
		return places, true
	}
	texts := strings.Split(cursor, ".")
	if len(texts) != len(places) {
		return nil, false
	}
	for i, text := range texts {
		var err error
		if places[i], err = strconv.ParseUint(text, 10, 62); err != nil {
			return nil, false
		}
	}
	return places, true
}

func writePlaces(places []uint64) string {
	texts := make([]string, len(places))
	for i, n := range places {
		texts[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(texts, ".")
}

// walk answers with a list that has no order across cells: one cell after the other. A cursor is a cell and the place
// in its list. Cells in which there is nothing of the path are passed over.
func (r *Router) walk(member string) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if r.atOwn(ctx) {
			return
		}
		cell, cursor, ok := r.readPlace(string(ctx.QueryArgs().Peek("cursor")))
		if !ok {
			r.refuse(ctx, badCursor())
			return
		}
		r.walkFrom(ctx, member, cell, cursor)
	}
}

func (r *Router) walkFrom(ctx *fasthttp.RequestCtx, member string, cell int, cursor string) {
	within, cancel := context.WithTimeout(ctx, r.mergeIn)
	defer cancel()
	limit := limitOf(ctx)
	items, isFound, next := []item{}, false, ""
	var missing *reply
	for ; cell < r.o.Cells; cell++ {
		p, err := r.askFor(within, ctx, cell, uriOf(ctx, cursor, r.rest(ctx, limit-len(items))))
		switch {
		case err != nil:
			r.refuse(ctx, overloaded("cell "+strconv.Itoa(cell)+" has no owner that answers now; send it again"))
			return
		case p.status == fasthttp.StatusNotFound:
			missing, cursor = p, ""
			continue
		case p.status != fasthttp.StatusOK:
			pass(ctx, p)
			return
		}
		pg, err := readPage(p, member)
		if err != nil {
			r.broken(ctx, err)
			return
		}
		isFound = true
		for _, it := range pg.items {
			items = append(items, it.of(cell))
		}
		if pg.next != "" {
			next = strconv.Itoa(cell) + "." + pg.next
			break
		}
		if cursor = ""; len(items) >= limit && cell+1 < r.o.Cells {
			next = strconv.Itoa(cell+1) + "."
			break
		}
	}
	if !isFound && missing != nil {
		pass(ctx, missing)
		return
	}
	answerPage(ctx, member, items, next)
}

// rest returns how long the next page may be; a limit that is none stays, so that a cell refuses it.
func (r *Router) rest(ctx *fasthttp.RequestCtx, left int) int {
	if text := ctx.QueryArgs().Peek("limit"); len(text) > 0 {
		if n, err := strconv.Atoi(string(text)); err != nil || n < 1 || n > pageMax {
			return 0
		}
	}
	return left
}

func (r *Router) readPlace(cursor string) (cell int, place string, ok bool) {
	if cursor == "" {
		return 0, "", true
	}
	text, place, has := strings.Cut(cursor, ".")
	cell, err := strconv.Atoi(text)
	return cell, place, has && err == nil && cell >= 0 && cell < r.o.Cells
}
