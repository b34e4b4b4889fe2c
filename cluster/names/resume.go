package names

import (
	"context"
	"sync"
	"time"

	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/license"
)

// resume settles what others have left open, until ctx ends.
func (w *Owner) resume(ctx context.Context) {
	tick := time.NewTicker(resumeEvery)
	defer tick.Stop()
	h := newInHand()
	defer h.work.Wait()
	for {
		w.settleOpen(ctx, h, w.o.Engine.NowMs()-resumeAfter.Milliseconds())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// inHand are the reservations that are being settled. A cell without an owner holds up no other's.
type inHand struct {
	work    sync.WaitGroup
	mu      sync.Mutex
	numbers map[uint64]bool
	of      map[int]int // how many of each cell
}

func newInHand() *inHand { return &inHand{numbers: map[uint64]bool{}, of: map[int]int{}} }

// begin reports whether a reservation is to be settled now. If it is, end must be called.
func (h *inHand) begin(g *license.Given) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.numbers[g.Number] || h.of[g.Cell] >= resumedAtOnce {
		return false
	}
	h.numbers[g.Number] = true
	h.of[g.Cell]++
	return true
}

func (h *inHand) end(g *license.Given) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.numbers, g.Number)
	h.of[g.Cell]--
}

// settleOpen begins to settle the names that are open since before an instant.
func (w *Owner) settleOpen(ctx context.Context, h *inHand, beforeMs int64) {
	for _, g := range w.o.Engine.Catalogue().OpenNames() {
		if g.SinceMs <= beforeMs && h.begin(g) {
			h.work.Go(func() {
				defer h.end(g)
				w.settleOne(ctx, g)
			})
		}
	}
}

func (w *Owner) settleOne(ctx context.Context, g *license.Given) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	name := nameMessage{g.Kind, g.Name}
	isThere, err := call.Again[bool](limited, w.o.Client, g.Cell, methodRefuse, refusal{name, g.Number})
	if err == nil {
		_, err = w.settle(settlement{nameMessage: name, Number: g.Number, IsThere: isThere})
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		w.o.Logger.Warn("a name whose giving was interrupted cannot be settled yet; nobody can have it meanwhile",
			"kind", g.Kind.String(), "name", g.Name, "cell", g.Cell, "error", err)
		return
	}
	w.o.Logger.Info("a name whose giving was interrupted is settled",
		"kind", g.Kind.String(), "name", g.Name, "cell", g.Cell, "given", isThere)
}
