package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

// own is from Own to Drop or Close. An error is not of the cell's end: the node cannot go on.
func (h *Host) own(ctx context.Context, log *jetlog.Log) error {
	began := time.Now()
	if err := h.cell.Own(ctx, log); err != nil {
		if isDeposed(err) {
			return h.deposed(err)
		}
		return fmt.Errorf("own it in epoch %d: %w", log.Epoch(), err)
	}
	h.returns = false
	h.mu.Lock()
	h.owned = log
	h.mu.Unlock()
	h.change(func(s *board.CellStatus) {
		s.Role, s.Why, s.Epoch, s.Address = board.Owner, h.mend.why(), log.Epoch(), h.cell.Address()
	})
	group, _, _ := log.Last()
	h.o.Logger.Info("this node owns the cell", "epoch", log.Epoch(), "group", group, "address", h.cell.Address(),
		"opened_in_seconds", time.Since(began).Seconds())
	if err := h.last.note(h.stream(), log.Epoch()); err != nil {
		h.o.Logger.Warn("a restart will not know that this node owned the cell", "error", err)
	}
	look := time.NewTicker(handEvery)
	defer look.Stop()
	for {
		select {
		case fault := <-h.cell.Faults():
			h.find(fault)
		case <-look.C:
			if h.handsOver(log) {
				return fmt.Errorf("%w: %w", errFaulty, h.fault())
			}
		case <-h.cell.Failed():
			if err := h.cell.Err(); isDeposed(err) {
				return h.deposed(err)
			}
			return h.cell.Err()
		case r := <-h.asked:
			err := h.hand(log, r.to)
			r.done <- err
			if !errors.Is(err, errKept) {
				h.returns = false
				return nil
			}
		case <-ctx.Done():
			return h.leave(log)
		}
	}
}

// isDeposed reports whether an owner's error says that another node owns the cell, or may: nothing is wrong here.
func isDeposed(err error) bool {
	return errors.Is(err, jetlog.ErrFenced) || errors.Is(err, jetlog.ErrUnsettled) || errors.Is(err, jetlog.ErrYielded) ||
		errors.Is(err, jetlog.ErrDamaged)
}

// deposed drops what nobody may be told.
func (h *Host) deposed(err error) error {
	h.o.Logger.Warn("this node owns the cell no longer: it drops what was not stored, and follows", "reason", err)
	h.open(nil)
	h.returns = true
	return h.cell.Drop()
}

// errKept says that the owner has not let go.
var errKept = errors.New("the owner keeps the cell")

// hand gives the cell to another node. With errKept nothing has happened.
func (h *Host) hand(log *jetlog.Log, to string) error {
	if err := h.canOwn(to); err != nil {
		return fmt.Errorf("%w: %w", errKept, err)
	}
	return h.yield(log, to)
}

// yield lets go of the cell.
func (h *Host) yield(log *jetlog.Log, to string) error {
	h.o.Logger.Info("handing the cell over", "to", to)
	// Told before the doors close, so that requests wait where they came in.
	h.change(func(s *board.CellStatus) { s.Role, s.Why, s.Address = board.Following, "it is handed over", "" })
	h.cell.Rest()
	err := log.Yield(to)
	h.open(nil)
	if bad := h.cell.Drop(); bad != nil {
		h.o.Logger.Warn("the cell that was handed over could not be closed in order", "error", bad)
	}
	return err
}

// leave hands the cell over since the node ends, or closes it if there is nobody.
func (h *Host) leave(log *jetlog.Log) error {
	to := h.successor()
	if to == "" {
		h.o.Logger.Info("no other node is ready to own the cell: it is closed")
		h.open(nil)
		return h.cell.Close()
	}
	if err := h.yield(log, to); err != nil {
		h.o.Logger.Warn("the cell could not be handed over", "error", err)
		return nil
	}
	h.awaitSuccessor(log.Epoch())
	return nil
}

// awaitSuccessor keeps the node, whose server is one of the majority, until a later epoch has an owner.
func (h *Host) awaitSuccessor(before uint64) {
	timeout := time.NewTimer(handMax)
	defer timeout.Stop()
	for {
		changed := h.o.Board.Changed()
		if _, _, epoch, ok := h.o.Board.Owner(h.o.Cell); ok && epoch > before {
			return
		}
		select {
		case <-changed:
		case <-timeout.C:
			return
		}
	}
}

// canOwn says why a node cannot own the cell now.
func (h *Host) canOwn(node string) error {
	for _, n := range h.o.Board.Nodes() {
		if n.Node != node {
			continue
		}
		switch c, has := n.Cell(h.o.Cell); {
		case n.Node == h.o.Node:
			return fmt.Errorf("node %q owns it", node)
		case n.State == board.Silent || n.State == board.Leaving:
			return fmt.Errorf("node %q is %s", node, n.State)
		case !has || c.Role != board.Standby:
			return fmt.Errorf("node %q is no standby of it: %s", node, c.Role)
		case !c.Fit:
			return fmt.Errorf("node %q is not fit to own it: look at its clock, its disk and its log", node)
		}
		return nil
	}
	return fmt.Errorf("there is no node %q", node)
}

// successor returns a node that can own the cell, "" if there is none. Cells that leave together go to all in turn.
func (h *Host) successor() string {
	var list []string
	nodes := h.o.Board.Nodes()
	for _, n := range nodes {
		if h.canOwn(n.Node) == nil {
			list = append(list, n.Node)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return list[h.o.Cell/len(nodes)%len(list)]
}

// Yield has the owner hand the cell over to another node, which must be a standby. It returns when the cell is let go
// of.
func (h *Host) Yield(ctx context.Context, to string) error {
	r := request{to: to, done: make(chan error, 1)}
	if !h.Owner() {
		return errNotOwner
	}
	select {
	case h.asked <- r:
	case <-ctx.Done():
		return fmt.Errorf("the owner is busy: %w", ctx.Err())
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the owner lets go: %w", ctx.Err())
	}
}

var errNotOwner = errors.New("this node does not own the cell")
