package route

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/valyala/fasthttp"
)

// errNoOwner is that a cell has no owner that this node knows of.
var errNoOwner = errors.New("the cell has no owner now")

// waited is under what a request has how long it has waited so far.
type waited struct{}

// until returns when a request that begins to wait now has waited for waitMax in all. hasWaited ends the wait.
func (r *Router) until(ctx *fasthttp.RequestCtx) (begun, until time.Time) {
	before, _ := ctx.UserValue(waited{}).(time.Duration)
	begun = time.Now()
	return begun, begun.Add(r.waitMax - before)
}

func hasWaited(ctx *fasthttp.RequestCtx, begun time.Time) {
	before, _ := ctx.UserValue(waited{}).(time.Duration)
	ctx.SetUserValue(waited{}, before+time.Since(begun))
}

// reachFor is reach for a client's request, which waits for waitMax in all of its tries.
func (r *Router) reachFor(within context.Context, ctx *fasthttp.RequestCtx, cell int) (*link, error) {
	begun, until := r.until(ctx)
	defer hasWaited(ctx, begun)
	return r.reach(within, cell, kindOf(ctx), until)
}

// reach returns a connection to the owner of a cell, for a request of which nothing was sent. While the cell goes from
// one owner to the next it waits for that: a client that is refused would come again as late, and notice.
func (r *Router) reach(ctx context.Context, cell int, k kind, until time.Time) (l *link, err error) {
	var failed owner
	for range reachMax {
		to, ok := r.await(ctx, cell, failed, until)
		switch {
		case !ok:
			return nil, fmt.Errorf("cell %d: %w", cell, errNoOwner)
		case to == failed:
			return nil, err
		}
		l, err = r.links.take(ctx, to, k, until)
		if err == nil || errors.Is(err, errTooMany) || ctx.Err() != nil {
			return l, err
		}
		failed = to
	}
	return nil, err
}

// await returns the owner of a cell. If its last one has let go of it, the next one is waited for, handOverMax behind
// that; and if the one that is known cannot be reached, what the board says next, newsMax. Nothing is waited for beyond
// last.
func (r *Router) await(ctx context.Context, cell int, failed owner, last time.Time) (to owner, ok bool) {
	if to, ok = r.owner(cell); ok && to != failed {
		return to, true
	}
	news := time.Now().Add(newsMax)
	for {
		changed := r.o.Board.Changed() // Before it is looked.
		if to, ok = r.owner(cell); ok && to != failed {
			return to, true
		}
		until := news
		if !ok {
			until = r.o.Board.LetGo(cell).Add(handOverMax)
		}
		left := min(time.Until(until), time.Until(last))
		if left <= 0 {
			return to, ok
		}
		timeout := time.NewTimer(left)
		select {
		case <-changed:
		case <-timeout.C:
		case <-ctx.Done():
			timeout.Stop()
			return to, ok
		}
		timeout.Stop()
	}
}
