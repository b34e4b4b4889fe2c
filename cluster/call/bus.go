package call

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// Bus brings requests to whoever serves their subject. Neither side keeps the other's bytes.
type Bus interface {
	// Request returns the first answer. ErrNobody says that nobody got the request, any other error says nothing about it.
	Request(ctx context.Context, subject string, b []byte) ([]byte, error)
	// Serve calls fn for each request until stop, and for those that came before it; fn must not block.
	Serve(subject string, fn func(b []byte, reply func([]byte) error)) (stop func() error, err error)
}

// ErrNobody means that nobody serves the subject, so that nobody got the request.
var ErrNobody = errors.New("nobody serves this cell now")

func subjectOf(cluster string, cell int) string {
	return "meterd.call." + cluster + "." + strconv.Itoa(cell)
}

// NATS is a Bus of a connection, which stays its caller's.
type NATS struct{ Conn *nats.Conn }

// Request implements Bus.
func (n NATS) Request(ctx context.Context, subject string, b []byte) ([]byte, error) {
	m, err := n.Conn.RequestWithContext(ctx, subject, b)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNobody
	case err != nil:
		return nil, fmt.Errorf("ask %q: %w", subject, err)
	}
	return m.Data, nil
}

// Serve implements Bus.
func (n NATS) Serve(subject string, fn func(b []byte, reply func([]byte) error)) (stop func() error, err error) {
	sub, err := n.Conn.Subscribe(subject, func(m *nats.Msg) { fn(m.Data, m.Respond) })
	if err != nil {
		return nil, fmt.Errorf("serve %q: %w", subject, err)
	}
	// So that whoever is told that this node serves finds it doing so.
	if err := n.Conn.Flush(); err != nil {
		return nil, errors.Join(fmt.Errorf("serve %q: %w", subject, err), sub.Unsubscribe())
	}
	return sub.Drain, nil // Whoever has asked is told that this node does not serve any more.
}
