package shard

import (
	"errors"
	"fmt"
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
)

// recover joins checkpoint and log into the state. Whatever of them overlaps changes nothing.
func (e *Engine) recover() error {
	began := time.Now()
	e.producers.Passed(e.o.Ledger.Position().Seq) // Of these groups memory needs no long answers. Open checks it.
	j := newJoiner(e)
	begin, end, err := j.checkpoint()
	if err != nil {
		return err
	}
	last, lastMs, _ := e.o.Log.Last()
	if last < end {
		return fmt.Errorf("the log ends at group %d, but the checkpoint reflects group %d: the log lost its tail; "+
			"restore the data directory from a backup", last, end)
	}
	restored := time.Now()
	if err := errors.Join(j.replay(begin+1), j.close()); err != nil {
		return fmt.Errorf("replay the log: %w", err)
	}
	e.catalogue.Store(j.cat)
	e.sealedSeq.Store(last)
	e.durableSeq.Store(last)
	e.checkpoint.begin.Store(begin)
	e.sinceRows.Store(int64(j.rows))
	e.commands.Start(j.cat.Seq)
	e.clock = newDecidedClock(e.o.Clock, max(lastMs, j.lastMs))
	e.producers.Restored(max(lastMs, j.lastMs))
	if err := e.count(j.cat); err != nil {
		return err
	}
	e.logger.Info("state recovered", "devices", e.table.Len(), "groups_replayed", last-begin, "rows_replayed", j.rows,
		"checkpoint_seconds", restored.Sub(began).Seconds(), "replay_seconds", time.Since(restored).Seconds())
	return nil
}

// count counts active and online devices anew and gives the table room for the first batch.
func (e *Engine) count(cat *license.Catalogue) error {
	for s := range shards {
		for slot := range e.table.Slots(s) {
			p := cat.ProductByID(slot.Product())
			if p == nil {
				continue
			}
			if slot.License().State() == counters.LicenseActive {
				p.State.Active.Add(1)
			}
			if slot.Session().Online() {
				p.State.Online.Add(1)
			}
		}
	}
	return e.grow(0)
}
