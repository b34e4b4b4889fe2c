package member

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
)

// A node that brings the directory of a daemon that was alone makes the cluster, for the stream of cell 0 begins behind
// that. Until it has, it answers on a subject, and nobody who is asked to wait makes a cluster of nothing.

func bringsOf(cluster string) string { return "meterd.brings." + cluster }

// Bring answers those who would make the cluster with this node's name, until stop is called.
func Bring(conn *nats.Conn, cluster, node string) (stop func(), err error) {
	s, err := conn.Subscribe(bringsOf(cluster), func(m *nats.Msg) {
		_ = m.Respond([]byte(node)) // Who hears nothing asks again.
	})
	if err != nil {
		return nil, fmt.Errorf("tell that this node brings its data: %w", err)
	}
	return func() { _ = s.Unsubscribe() }, nil // The connection is closed, then.
}

// Bringer returns the name of the node that brings its data to the cluster, "" if no node that can be heard does.
func Bringer(ctx context.Context, conn *nats.Conn, cluster string) (node string, err error) {
	m, err := conn.RequestWithContext(ctx, bringsOf(cluster), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("ask whether a node brings data: %w", err)
	}
	return string(m.Data), nil
}
