package usage

import (
	"context"
	"time"
)

// Maintain has the store give back the space of rows whose time is over, until ctx ends, whenever may says that this
// is safe: it writes before it frees. An error is final: the next Apply returns it too.
func (l *Ledger) Maintain(ctx context.Context, may func() bool) error {
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
			if err := l.store.Maintain(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}
