package usage

import (
	"context"
	"time"
)

// Maintain has the store give back the space of rows whose time is over, until ctx ends, whenever may says that there
// is room for it: it writes before it frees. nowMs is the time by which meterd decides (R12).
// An error is final: the next Apply returns it too.
func (l *Ledger) Maintain(ctx context.Context, nowMs func() int64, may func() bool) error {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if !may() {
				continue
			}
			if err := l.store.Maintain(ctx, nowMs()); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}
