package board

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
)

// Admitted asks up to `others` nodes, through a connection to them, whether a server was forgotten, and returns an
// error with ErrForgotten then. It takes 2 s at most: who is there answers at once. Nodes that start meanwhile are
// answered out of the file of positions.
func (o Options) Admitted(ctx context.Context, others int) error {
	if err := o.Validate(); err != nil {
		return err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	own := readPositions(o.Path, o.Logger)
	sub, err := o.Conn.Subscribe(notesSubject(o.Cluster), func(m *nats.Msg) {
		if content, err := encodeNotes(o.Node, own); err == nil && m.Reply != "" {
			_ = m.Respond(content) // The connection is closed, then.
		}
	})
	if err != nil {
		return fmt.Errorf("ask the other nodes: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // The connection is closed, then.
	ctx, cancel := context.WithTimeout(ctx, recallWait)
	defer cancel()
	note, forgotten := noteOf(own.forgotten, o.Server.ID)
	answered := 0
	err = gatherNotes(ctx, o.Conn, o.Cluster, nil, func(n notes) bool {
		if n.Node != o.Node {
			answered++
		}
		if f, is := noteOf(n.Forgotten, o.Server.ID); is && !note.Removed {
			note, forgotten = f, true
		}
		return !forgotten && answered < others
	})
	if forgotten {
		return forgottenError(o.Server, note)
	}
	return err
}
