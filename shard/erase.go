package shard

import (
	"fmt"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
)

// What is erased of a device's log is hidden from readers at once, by the catalogue, and leaves the disk later:
//
//	EraseLog ─► change in group g ─► … gathers ─► Log.Erase: no file is used again, the open segment is ended
//	                                               ├─► the archive writes what it has gathered, without what is erased
//	                                               ├─► a checkpoint is due
//	                                               └─► Release removes the segments ─► Log.Erased ─► Eraser.LogErased
//
// The archive rewrites its directories by itself. What a crash breaks off begins again: only LogErased is remembered.

// Eraser is the archive of the log's events, as far as erasing concerns it: rawlog.View.
type Eraser interface {
	// LogEraseDue returns the change up to which everything that was erased must leave the log's files now, 0 for none.
	LogEraseDue(nowMs int64) (change uint64)
	// MustReach has the archive's position move to the group soon.
	MustReach(group uint64)
	// LogErased says durably that the log's files hold nothing that was erased up to a change. That began at beganMs: what
	// is erased meanwhile is counted from its own time.
	LogErased(change uint64, beganMs int64) error
	// ErasedThrough returns the change up to which everything that was erased is off the disk.
	ErasedThrough() (change uint64)
}

// erasing is how far the log's files are. It belongs to the goroutine that releases segments.
type erasing struct {
	change  uint64 // what was erased up to it is leaving the log; 0: nothing is
	beganMs int64  // when that began, Unix milliseconds
	group   uint64 // the files hold it up to here
}

// EraseLog makes topic and payload of everything unreadable that was decided so far for a device of a product that
// there is, whether it was ever active or not. It returns the instant up to which that is, Unix milliseconds, when the
// change is durable.
func (e *Engine) EraseLog(name string, token *access.Token, product string, device []byte) (untilMs int64, err error) {
	err = e.Administer(name, token, func(c *license.Catalogue, by license.Actor) (
		*license.Catalogue, *license.Change, error,
	) {
		var ordinal uint64
		slot := e.table.Find(e.table.KeyOf(c.Product([]byte(product)).ID, device)) // The gate is closed.
		if slot != nil {
			ordinal = uint64(slot.Ordinal())
		}
		next, ch, x, err := c.EraseLog(by, product, string(device), slot != nil, ordinal)
		if err == nil {
			untilMs = x.UntilMs
		}
		return next, ch, err
	})
	return untilMs, err
}

// eraseFromLog begins to take what was erased from the log's files when that is due.
func (e *Engine) eraseFromLog() (err error) {
	x := &e.erasing
	if e.o.Eraser == nil || x.change != 0 {
		return nil
	}
	nowMs := e.clock.view()
	change := e.o.Eraser.LogEraseDue(nowMs)
	if change == 0 {
		return nil
	}
	if x.group, err = e.o.Log.Erase(); err != nil {
		return fmt.Errorf("take what was erased from the log: %w", err)
	}
	x.change, x.beganMs = change, nowMs
	e.o.Eraser.MustReach(x.group)
	return nil
}

// erasedFromLog notes when it is done. An error of the archive fails the archive, and is tried again.
func (e *Engine) erasedFromLog() {
	x := &e.erasing
	if x.change == 0 || !e.o.Log.Erased(x.group) {
		return
	}
	if err := e.o.Eraser.LogErased(x.change, x.beganMs); err != nil {
		e.logger.Error("the archive cannot note that the log is erased; it is tried again", "error", err)
		return
	}
	e.logger.Info("what was erased has left the log's files", "up_to_change", x.change, "up_to_group", x.group)
	x.change = 0
}

// endErasures drops erasures whose entries can no longer be read and are off the disk.
func (e *Engine) endErasures() {
	if e.o.Eraser == nil {
		return
	}
	over := e.catalogue.Load().ErasuresBefore(e.clock.view() - e.o.Retention.Milliseconds())
	if len(over) == 0 {
		return
	}
	through := e.o.Eraser.ErasedThrough()
	var ended []*license.Erasure
	for _, x := range over {
		if x.Seq <= through && len(ended) < erasuresASeal {
			ended = append(ended, x)
		}
	}
	if len(ended) == 0 {
		return
	}
	// If the engine stops meanwhile the next start goes on.
	_, _ = e.change("", nil, func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		next, ch := c.EndErasures(ended)
		if ch != nil {
			ch.AtMs = by.AtMs
		}
		return next, ch, nil
	})
}
