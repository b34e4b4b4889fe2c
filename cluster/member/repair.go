package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/meterd/meterd/cluster/board"
)

func repairOf(cluster string, cell int) string {
	return fmt.Sprintf("meterd.repair.%s.%d", cluster, cell)
}

// answerRepair replaces the stream if this node is meant.
func (h *Host) answerRepair(m *nats.Msg) {
	var asked repairAsked
	if json.Unmarshal(m.Data, &asked) != nil || asked.Node != h.o.Node {
		return
	}
	go func() { // It takes as long as reading the copy does.
		ctx, stop := context.WithTimeout(context.Background(), repairMax)
		defer stop()
		h.answer(m, h.renew(ctx))
	}()
}

func (h *Host) renew(ctx context.Context) error {
	if !h.renewing.TryLock() {
		return errors.New("this node is repairing the cell already: wait until it has")
	}
	defer h.renewing.Unlock()
	switch {
	case h.Owner():
		return errors.New("this node owns the cell: nothing is to be repaired")
	case h.Status().Role == board.Reseeding:
		return errors.New("this node's copy is being made anew: wait until it is whole")
	case h.o.Renew == nil:
		return errors.New("this node cannot begin a stream")
	}
	if err := h.o.Renew(ctx); err != nil {
		return err
	}
	h.o.Logger.Warn("the stream was replaced: a new one begins behind this node's copy")
	select {
	case h.renewed <- struct{}{}:
	default:
	}
	return nil
}

// Repair asks a node to begin a new stream behind its copy of a cell, and returns when it is there.
func Repair(ctx context.Context, conn *nats.Conn, cluster string, cell int, node string) error {
	if err := ask(ctx, conn, repairOf(cluster, cell), repairAsked{node}); err != nil {
		return fmt.Errorf("repair cell %d by node %q: %w", cell, node, err)
	}
	return nil
}
