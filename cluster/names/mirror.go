package names

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// seen is how far this owner has taken cell 0's catalogue over.
type seen struct {
	mu      sync.Mutex
	changes uint64
	moved   chan struct{} // closed when changes grows
}

func (s *seen) init() { s.moved = make(chan struct{}) }

func (s *seen) get() (changes uint64, moved <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changes, s.moved
}

func (s *seen) set(changes uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = changes
	close(s.moved)
	s.moved = make(chan struct{})
}

// mirror takes over what cell 0 says of tokens and webhooks without an account, until ctx ends.
func (w *Owner) mirror(ctx context.Context) {
	tick := time.NewTicker(mirrorEvery)
	defer tick.Stop()
	failed := ""
	for {
		err := w.takeOver()
		switch {
		case err == nil:
			failed = ""
		case ctx.Err() != nil:
		case err.Error() != failed:
			failed = err.Error()
			w.o.Logger.Warn("tokens and webhooks of cell 0 cannot be taken over", "cell", w.o.Cell, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// AwaitTokens returns when the cell knows tokens of cell 0, which makes the first one for the whole cluster: until then
// the cell would refuse every request as one without a valid token. It returns early when ctx or failed ends.
func (w *Owner) AwaitTokens(ctx context.Context, failed <-chan struct{}) {
	for w.o.Cell != 0 {
		_, moved := w.seen.get()
		if w.o.Engine.Catalogue().Mirrored() != 0 {
			return
		}
		select {
		case <-moved:
		case <-failed:
			return
		case <-ctx.Done():
			return
		}
	}
}

// takeOver takes over what this node's copy of cell 0 has.
func (w *Owner) takeOver() error {
	truth, durable := w.o.Truth()
	if truth == nil {
		return nil
	}
	if changes, _ := w.seen.get(); truth.Seq <= changes {
		return nil
	}
	if err := durable(); err != nil {
		return fmt.Errorf("cell 0: %w", err)
	}
	for isWhole := w.o.Engine.Catalogue().Mirrors(truth); !isWhole; {
		err := w.administer(
			func(c *license.Catalogue, by license.Actor) (n *license.Catalogue, ch *license.Change, err error) {
				n, ch, isWhole = c.Mirror(by, truth)
				return n, ch, nil
			})
		if err != nil {
			return err
		}
	}
	w.seen.set(truth.Seq)
	return nil
}

// mirrored reports whether so many changes of cell 0 are taken over, durably. It waits for them a little.
func (w *Owner) mirrored(changes uint64) (any, error) {
	over := time.NewTimer(mirrorWait)
	defer over.Stop()
	for {
		now, moved := w.seen.get()
		if now >= changes {
			return true, told(w.o.Engine.Durable())
		}
		select {
		case <-moved:
		case <-w.ended:
			return nil, shard.ErrStopped
		case <-over.C:
			return false, told(w.o.Engine.Durable())
		}
	}
}
