package route

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errNoOwner is that a cell has no owner that this node knows of.
var errNoOwner = errors.New("the cell has no owner now")

// reach returns a connection to the owner of a cell, for a request of which nothing was sent. While the cell goes from
// one owner to the next it waits for that: a client that is refused would come again as late, and notice.
func (r *Router) reach(ctx context.Context, cell int, k kind) (l *link, err error) {
	var failed owner
	for range reachMax {
		to, ok := r.await(ctx, cell, failed)
		switch {
		case !ok:
			return nil, fmt.Errorf("cell %d: %w", cell, errNoOwner)
		case to == failed:
			return nil, err
		}
		l, err = r.links.take(ctx, to, k)
		if err == nil || errors.Is(err, errTooMany) || ctx.Err() != nil {
			return l, err
		}
		failed = to
	}
	return nil, err
}

// await returns the owner of a cell. If its last one has let go of it, the next one is waited for, handOverMax behind
// that; and if the one that is known cannot be reached, what the board says next, newsMax.
func (r *Router) await(ctx context.Context, cell int, failed owner) (to owner, ok bool) {
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
		left := time.Until(until)
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

// awaitCopy reports whether this node has a copy of cell 0. Who has let go of the cell opens its copy anew: that is
// waited for, handOverMax behind it.
func (r *Router) awaitCopy() bool {
	for {
		changed := r.o.Board.Changed() // Before it is looked.
		if r.o.Catalogues(0) != nil {
			return true
		}
		left := time.Until(r.o.Board.LetGo(0).Add(handOverMax))
		if left <= 0 {
			return false
		}
		look := time.NewTimer(min(left, copyEvery))
		select {
		case <-changed:
		case <-look.C:
		}
		look.Stop()
	}
}
