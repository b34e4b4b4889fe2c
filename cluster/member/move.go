package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// moveAsked is what an owner is asked, and repairAsked the node with the longest copy, which shall begin a new stream
// behind it; answered says what came of it. FORMAT.md has them.
type (
	moveAsked struct {
		To string `json:"to"`
	}
	repairAsked struct {
		Node string `json:"node"`
	}
	answered struct {
		Error string `json:"error"`
	}
)

func moveOf(cluster string, cell int) string { return fmt.Sprintf("meterd.move.%s.%d", cluster, cell) }

// answerMove has the owner let go when a node asks it to.
func (h *Host) answerMove(m *nats.Msg) {
	var asked moveAsked
	if !h.Owner() || json.Unmarshal(m.Data, &asked) != nil {
		return // The owner answers.
	}
	go func() { // It takes as long as requests in hand do; others may be asked meanwhile.
		ctx, stop := context.WithTimeout(context.Background(), moveMax)
		defer stop()
		h.answer(m, h.Yield(ctx, asked.To))
	}()
}

// answer tells who has asked what came of it.
func (h *Host) answer(m *nats.Msg, came error) {
	var a answered
	if came != nil {
		a.Error = came.Error()
	}
	b, err := json.Marshal(a)
	if err == nil {
		err = m.Respond(b)
	}
	if err != nil {
		h.o.Logger.Warn("nobody is told what came of a move or a repair", "error", err)
	}
}

// ask asks a node, and returns what came of it.
func ask(ctx context.Context, conn *nats.Conn, subject string, what any) error {
	b, err := json.Marshal(what)
	if err != nil {
		return fmt.Errorf("encode what is asked: %w", err)
	}
	m, err := conn.RequestWithContext(ctx, subject, b)
	if err != nil {
		return fmt.Errorf("nobody answers: %w", err)
	}
	var a answered
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if a.Error != "" {
		return errors.New(a.Error)
	}
	return nil
}

// Move asks the owner of a cell to hand it over to a node, and returns when it has let go.
func Move(ctx context.Context, conn *nats.Conn, cluster string, cell int, to string) error {
	ctx, stop := context.WithTimeout(ctx, moveMax+time.Second)
	defer stop()
	if err := ask(ctx, conn, moveOf(cluster, cell), moveAsked{to}); err != nil {
		return fmt.Errorf("move cell %d to node %q: %w", cell, to, err)
	}
	return nil
}
