package cells

import (
	"context"
	"errors"

	"github.com/meterd/meterd/cluster/route"
)

// Router is what reaches the servers of cells; *route.Router is one.
type Router interface {
	Owned(ctx context.Context, cell int) bool
	Ask(ctx context.Context, cell int, path string, body []byte) (answer []byte, err error)
}

// Link is the Owners that a Router reaches.
type Link struct{ Router Router }

// Has implements Owners.
func (l Link) Has(ctx context.Context, cell int) bool { return l.Router.Owned(ctx, cell) }

// Ask implements Owners.
func (l Link) Ask(ctx context.Context, cell int, call string, body []byte) ([]byte, error) {
	answer, err := l.Router.Ask(ctx, cell, Path+call, body)
	if errors.Is(err, route.ErrUnsent) {
		return nil, errors.Join(ErrNotSent, err)
	}
	return answer, err
}
