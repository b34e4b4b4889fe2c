package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// moveAsked is what an owner is asked, moveAnswered what it answers; FORMAT.md has them.
type (
	moveAsked struct {
		To string `json:"to"`
	}
	moveAnswered struct {
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
		var answer moveAnswered
		if err := h.Yield(ctx, asked.To); err != nil {
			answer.Error = err.Error()
		}
		b, err := json.Marshal(answer)
		if err == nil {
			err = m.Respond(b)
		}
		if err != nil {
			h.o.Logger.Warn("nobody is told that the cell was moved", "error", err)
		}
	}()
}

// Move asks the owner of a cell to hand it over to a node, and returns when it has let go.
func Move(ctx context.Context, conn *nats.Conn, cluster string, cell int, to string) error {
	ask, err := json.Marshal(moveAsked{To: to})
	if err != nil {
		return fmt.Errorf("move cell %d: %w", cell, err)
	}
	ctx, stop := context.WithTimeout(ctx, moveMax+time.Second)
	defer stop()
	m, err := conn.RequestWithContext(ctx, moveOf(cluster, cell), ask)
	if err != nil {
		return fmt.Errorf("move cell %d to node %q: its owner does not answer: %w", cell, to, err)
	}
	var answer moveAnswered
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return fmt.Errorf("move cell %d to node %q: %w", cell, to, err)
	}
	if answer.Error != "" {
		return fmt.Errorf("move cell %d to node %q: %w", cell, to, errors.New(answer.Error))
	}
	return nil
}
