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
	for {
		w.settleOpen(ctx, w.o.Engine.NowMs()-resumeAfter.Milliseconds())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// settleOpen settles the names that are open since before an instant. Cells without an owner hold up no other's.
func (w *Owner) settleOpen(ctx context.Context, beforeMs int64) {
	var all sync.WaitGroup
	defer all.Wait()
	places := make(chan struct{}, resumedAtOnce)
	for _, g := range w.o.Engine.Catalogue().OpenNames() {
		if g.SinceMs > beforeMs {
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			return
		}
		all.Go(func() {
			w.settleOne(ctx, g)
			<-places
		})
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
