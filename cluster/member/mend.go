package member

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
)

// A copy may be found to be damaged, or a view of it may fail for ever, while it is open. No decision depends on that,
// so nothing hurries:
//
//	standby ─► somebody owns the cell ─► Drop, Reseed (or only Drop, if nothing is damaged) ─► Open
//	owner ───► a standby is in order ──► Yield to it ─► as a standby does
//
// Each is done at most once in mendAgain, so that a fault that comes again, or is everywhere, moves no cell in a
// circle. Without an owner, or a standby that is in order, the copy goes on as that of a node alone does.
type mend struct {
	fault  error     // what is wrong with the copy that is open; nil: nothing is known
	made   time.Time // when it was tried last to make the copy anew
	copied time.Time // when a damaged copy was made anew last
	handed time.Time // when the cell was handed over last for that
}

// why is the fault as it is told. The host's mu is held.
func (m *mend) why() string {
	if m.fault == nil {
		return ""
	}
	return board.Sentence(m.fault.Error())
}

// errFaulty says that the copy is to be opened again, or made anew.
var errFaulty = errors.New("something in this node's copy has failed")

// find notes what is wrong with the copy.
func (h *Host) find(fault error) {
	h.mu.Lock()
	isNew := h.mend.fault == nil
	if isNew {
		h.mend.fault = fault
	}
	h.mu.Unlock()
	if isNew {
		h.o.Logger.Error("something in this node's copy is damaged, or has failed: it is made anew from another node's as "+
			"soon as that can be", "error", fault)
		h.change(func(s *board.CellStatus) { s.Why = board.Sentence(fault.Error()) })
	}
}

// fault returns what is known to be wrong with the copy that is open.
func (h *Host) fault() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mend.fault
}

// sound forgets what was wrong: the copy is another one, or is opened again.
func (h *Host) sound() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mend.fault = nil
}

// mustMend returns why a standby must be closed and made anew now, nil if it goes on.
func (h *Host) mustMend() error {
	fault := h.fault()
	if fault == nil || !h.mend.made.IsZero() && time.Since(h.mend.made) < mendAgain {
		return nil
	}
	node, _, _, ok := h.o.Board.Owner(h.o.Cell)
	if !ok || node == h.o.Node {
		return nil
	}
	return fmt.Errorf("%w: %w", errFaulty, fault)
}

// handsOver gives a cell whose copy is damaged here to a standby that is in order. It reports whether it has.
func (h *Host) handsOver(log *jetlog.Log) bool {
	if h.fault() == nil || !h.mend.handed.IsZero() && time.Since(h.mend.handed) < mendAgain {
		return false
	}
	to := h.successor()
	if to == "" {
		return false
	}
	h.mend.handed = time.Now()
	h.o.Logger.Warn("the cell is handed over, since this node's copy is not in order", "to", to)
	if err := h.yield(log, to); err != nil {
		h.o.Logger.Warn("the cell could not be handed over", "error", err)
	}
	h.returns = false
	return true
}

// reopen drops a copy in which something has failed, so that it is opened again, and made anew first if it is damaged.
func (h *Host) reopen(ctx context.Context, fault error) error {
	h.mend.made = time.Now()
	if h.isLost(fault) {
		return h.reseed(ctx, fault)
	}
	h.o.Logger.Warn("this node's copy is closed and opened again", "reason", fault)
	h.sound()
	return h.cell.Drop()
}
