package sealed

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/usage/snapshot"
)

// stats is what /metrics shows of snapshots.
type stats struct {
	sealed, differ, failed        atomic.Uint64
	removed                       atomic.Uint64
	lastRows, lastBytes           atomic.Int64
	lastSealedS, lastMilliseconds atomic.Int64
}

func (s *stats) count(m *Manifest, err error, took time.Duration) {
	var d *snapshot.Difference
	var p *event.Problem
	switch {
	case errors.As(err, &d):
		s.differ.Add(1)
	case errors.As(err, &p) && p.Code.Status() < 500: // The caller's affair.
	case err != nil:
		s.failed.Add(1)
	default:
		s.sealed.Add(1)
		bytes := int64(0)
		for _, f := range m.Files {
			bytes += f.Bytes
		}
		s.lastRows.Store(int64(m.Rows))
		s.lastBytes.Store(bytes)
		s.lastSealedS.Store(int64(m.SealedAt) / 1000)
		s.lastMilliseconds.Store(took.Milliseconds())
	}
}

// RegisterMetrics adds what is known of snapshots to a set, once.
func (m *Maker) RegisterMetrics(set *metric.Set) {
	s := &m.stats
	if last := m.store.last(); last != nil {
		s.lastSealedS.Store(int64(last.SealedAt) / 1000)
	}
	count := func(n *atomic.Uint64) func() float64 { return func() float64 { return float64(n.Load()) } }
	level := func(n *atomic.Int64, unit float64) func() float64 {
		return func() float64 { return float64(n.Load()) * unit }
	}
	made := set.Counters("meterd_snapshots_total", "Snapshots since the start by what became of them; differ means that "+
		"rows, totals and ledger were not equal and nothing was sealed.")
	made.Func(count(&s.sealed), "result", "sealed")
	made.Func(count(&s.differ), "result", "differ")
	made.Func(count(&s.failed), "result", "failed")
	set.Counters("meterd_snapshots_removed_total", "Daily snapshots removed since the start, --snapshot-keep after they "+
		"were sealed.").Func(count(&s.removed))
	set.Gauges("meterd_snapshot_last_sealed_timestamp_seconds", "When the newest snapshot was sealed, 0 if none was.").
		Func(level(&s.lastSealedS, 1))
	set.Gauges("meterd_snapshot_last_duration_seconds", "How long the last snapshot since the start took.").
		Func(level(&s.lastMilliseconds, 0.001))
	set.Gauges("meterd_snapshot_last_rows", "Devices in the last snapshot since the start.").Func(level(&s.lastRows, 1))
	set.Gauges("meterd_snapshot_last_bytes", "Bytes of the files of the last snapshot since the start.").
		Func(level(&s.lastBytes, 1))
	set.Gauges("meterd_snapshots_damaged", "Snapshots that were damaged at the start and are not shown.").
		Func(func() float64 { return float64(m.store.damaged) })
	set.Gauges("meterd_snapshot_schedule_failing", "Whether the last snapshot of the schedule could not be made.").
		Func(func() float64 {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.failing != "" {
				return 1
			}
			return 0
		})
}

// last returns the newest snapshot, nil before the first.
func (s *Store) last() *Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest()
}
