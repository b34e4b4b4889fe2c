package shard

import (
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
)

// stats are what the daemon tells of its own work.
type stats struct {
	commitSeconds *metrics.PrometheusHistogram
	encodeSeconds *metrics.PrometheusHistogram
	gateSeconds   *metrics.PrometheusHistogram // how long the gate was closed
	groupRows     *metrics.PrometheusHistogram
	groups, rows  atomic.Uint64
	bytes         atomic.Uint64
	stallMaxNs    atomic.Int64
}

// secondsBounds are the buckets of durations: from 50 µs, a quarter of the fastest sync, doubling to 1.6 s.
func secondsBounds() []float64 { return metrics.ExponentialBuckets(50e-6, 2, 16) }

// groupRowsBounds are the buckets of the size of groups.
func groupRowsBounds() []float64 { return metrics.ExponentialBuckets(1, 4, 12) }

// RegisterMetrics adds the engine's metrics to set. No label is ever a device.
func (e *Engine) RegisterMetrics(set *metrics.Set) {
	for t := event.Connect; int(t) < event.Types; t++ {
		for _, c := range event.EventCodes() {
			set.NewGauge(`meterd_events_total{type="`+t.String()+`",verdict="`+c.String()+`"}`, func() float64 {
				return float64(e.verdicts[t][c].Load())
			})
		}
	}
	// An event whose type cannot be read is of none, and invalid.
	set.NewGauge(`meterd_events_total{type="unknown",verdict="`+event.InvalidEvent.String()+`"}`, func() float64 {
		return float64(e.verdicts[0][event.InvalidEvent].Load())
	})
	e.stats.commitSeconds = set.NewPrometheusHistogramExt("meterd_commit_duration_seconds", secondsBounds())
	e.stats.encodeSeconds = set.NewPrometheusHistogramExt("meterd_encode_duration_seconds", secondsBounds())
	e.stats.gateSeconds = set.NewPrometheusHistogramExt("meterd_gate_closed_duration_seconds", secondsBounds())
	e.stats.groupRows = set.NewPrometheusHistogramExt("meterd_group_rows", groupRowsBounds())
	gauge := func(name string, fn func() float64) { set.NewGauge(name, fn) }
	gauge("meterd_groups_total", func() float64 { return float64(e.stats.groups.Load()) })
	gauge("meterd_commit_bytes_total", func() float64 { return float64(e.stats.bytes.Load()) })
	gauge("meterd_log_rows_total", func() float64 { return float64(e.stats.rows.Load()) })
	gauge("meterd_checkpoint_age_seconds", func() float64 {
		last := e.checkpoint.last.Load()
		if last == 0 {
			return 0
		}
		return time.Since(time.Unix(0, last)).Seconds()
	})
	gauge(`meterd_ingest_stopped{reason="clock_leap"}`, func() float64 { return number(e.clock.leapt()) })
	gauge(`meterd_ingest_stopped{reason="disk_full"}`, func() float64 { return number(e.o.Guard.Stopped()) })
	gauge(`meterd_ingest_stopped{reason="out_of_memory"}`, func() float64 {
		return number(e.shortage.refused.Load() > 0)
	})
	gauge("meterd_devices", func() float64 { return float64(e.table.Len()) })
	gauge(`meterd_devices_active`, func() float64 {
		return float64(e.sumProducts(func(s *license.ProductState) int64 { return s.Active.Load() }))
	})
	gauge(`meterd_devices_online`, func() float64 {
		return float64(e.sumProducts(func(s *license.ProductState) int64 { return s.Online.Load() }))
	})
	gauge("meterd_answers_pending_bytes", func() float64 { return float64(e.producers.LongBytes()) })
	gauge("meterd_table_mapped_bytes", func() float64 { return float64(e.table.ReadStats().MappedBytes) })
}

func (e *Engine) sumProducts(of func(*license.ProductState) int64) (n int64) {
	for _, p := range e.catalogue.Load().Products("") {
		n += of(p.State)
	}
	return n
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (s *stats) sealed(waited, held time.Duration) {
	closed := waited + held
	if s.gateSeconds != nil {
		s.gateSeconds.Update(closed.Seconds())
	}
	for {
		most := s.stallMaxNs.Load()
		if int64(closed) <= most || s.stallMaxNs.CompareAndSwap(most, int64(closed)) {
			return
		}
	}
}

func (s *stats) committed(rows, bytes int, encode, sync time.Duration) {
	s.groups.Add(1)
	s.rows.Add(uint64(rows))
	s.bytes.Add(uint64(bytes))
	if s.commitSeconds != nil {
		s.commitSeconds.Update(sync.Seconds())
		s.encodeSeconds.Update(encode.Seconds())
		s.groupRows.Update(float64(rows))
	}
}
