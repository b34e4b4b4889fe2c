package call

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meterd/meterd/event"
)

// Client asks owners of a cluster's cells. It is safe for concurrent use.
type Client struct {
	Bus     Bus
	Cluster string // its name
}

// Once asks the owner of a cell once, as soon as there is one. A *event.Problem is what the owner answered, or that the
// cell had none until ctx was over; after any other error nobody knows what has become of the request.
func Once[Answer any](ctx context.Context, c *Client, cell int, method string, what any) (Answer, error) {
	return ask[Answer](ctx, c, cell, method, what, false)
}

// Again asks the owner of a cell until it answers or ctx is over: the method may run more than once.
func Again[Answer any](ctx context.Context, c *Client, cell int, method string, what any) (Answer, error) {
	return ask[Answer](ctx, c, cell, method, what, true)
}

func ask[Answer any](
	ctx context.Context, c *Client, cell int, method string, what any, again bool,
) (a Answer, err error) {
	body, err := encode(what)
	if err != nil {
		return a, err
	}
	b, err := encode(request{Version: version, Method: method, Body: body})
	if err != nil {
		return a, err
	}
	for {
		answered, err := c.try(ctx, cell, b, again)
		if err == nil {
			if err = decodeAnswer(answered, &a); !errors.Is(err, ErrNobody) {
				return a, err
			}
		}
		nobody := errors.Is(err, ErrNobody)
		if !nobody && !again {
			return a, fmt.Errorf("ask the owner of cell %d to %s: %w", cell, method, err)
		}
		if until, limited := ctx.Deadline(); nobody && (ctx.Err() != nil || limited && time.Until(until) < tryMin) {
			return a, &event.Problem{
				Code: event.Overloaded, Detail: fmt.Sprintf("cell %d has no owner just now; send it again", cell),
			}
		}
		select {
		case <-time.After(againEvery):
		case <-ctx.Done():
			return a, fmt.Errorf("ask the owner of cell %d to %s: %w", cell, method, err)
		}
	}
}

// try asks once.
func (c *Client) try(ctx context.Context, cell int, b []byte, again bool) ([]byte, error) {
	if again {
		limited, cancel := context.WithTimeout(ctx, tryMax)
		defer cancel()
		ctx = limited
	}
	return c.Bus.Request(ctx, subjectOf(c.Cluster, cell), b)
}
