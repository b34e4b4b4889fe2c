package shard

import (
	"time"

	"github.com/meterd/meterd/counters"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard/recovery"
)

// recover brings the state back to what was acknowledged.
func (e *Engine) recover() error {
	e.producers.Passed(e.o.Ledger.Position().Seq) // Of these groups memory needs no long answers. Open checks it.
	r, err := e.state.Recover(e.recoveryOptions())
	if err != nil {
		return err
	}
	e.catalogue.Store(r.Catalogue)
	e.sealedSeq.Store(r.Last)
	e.durableSeq.Store(r.Last)
	e.checkpoint.begin.Store(r.Begin)
	if r.CheckpointBytes > 0 {
		e.checkpoint.bytes.Store(r.CheckpointBytes)
		e.checkpoint.last.Store(time.Now().UnixNano())
	}
	e.sinceRows.Store(int64(r.Rows))
	e.commands.Start(r.Catalogue.Seq)
	e.clock = newDecidedClock(e.o.Clock, r.LastMs)
	e.producers.Restored(r.LastMs)
	if err := e.count(r.Catalogue); err != nil {
		return err
	}
	e.logger.Info("state recovered", "devices", e.table.Len(), "groups_replayed", r.Last-r.Begin, "rows_replayed", r.Rows,
		"checkpoint_seconds", r.Loading.Seconds(), "replay_seconds", r.Replaying.Seconds())
	return nil
}

func (e *Engine) recoveryOptions() recovery.Options {
	return recovery.Options{
		Log: e.o.Log, Checkpoints: e.o.Checkpoints, Compressor: e.compress, Region: e.o.Region, Retention: e.o.Retention,
		Lanes: e.o.Lanes,
	}
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
