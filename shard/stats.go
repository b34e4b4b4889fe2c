package shard

import (
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/shard/views"
)

// stats are what the daemon tells of its own work.
type stats struct {
	// told is nil until the metrics are registered, while groups may be committed already.
	told         atomic.Pointer[histograms]
	groups, rows atomic.Uint64
	bytes        atomic.Uint64
	stallMaxNs   atomic.Int64
}

type histograms struct {
	commitSeconds *metrics.PrometheusHistogram
	encodeSeconds *metrics.PrometheusHistogram
	gateSeconds   *metrics.PrometheusHistogram // how long the gate was closed
	groupRows     *metrics.PrometheusHistogram
}

// secondsBounds are the buckets of durations: from 50 µs, a quarter of the fastest sync, doubling to 1.6 s.
func secondsBounds() []float64 { return metrics.ExponentialBuckets(50e-6, 2, 16) }

// groupRowsBounds are the buckets of the size of groups.
func groupRowsBounds() []float64 { return metrics.ExponentialBuckets(1, 4, 12) }

// RegisterMetrics adds the engine's metrics to set. No label is ever a device.
func (e *Engine) RegisterMetrics(set *metric.Set) {
	e.registerEvents(set)
	st := &e.stats
	st.told.Store(&histograms{
		commitSeconds: set.Histogram("meterd_commit_duration_seconds",
			"How long a group of events took to be written and synced to the log.", secondsBounds()),
		encodeSeconds: set.Histogram("meterd_encode_duration_seconds",
			"How long a group of events took to be encoded and compressed.", secondsBounds()),
		gateSeconds: set.Histogram("meterd_gate_closed_duration_seconds",
			"How long no event could be decided, because a group was being sealed.", secondsBounds()),
		groupRows: set.Histogram("meterd_group_rows",
			"How many rows of the log a group has.", groupRowsBounds()),
	})
	counter := func(name, help string, n *atomic.Uint64) {
		set.Counters(name, help).Func(func() float64 { return float64(n.Load()) })
	}
	counter("meterd_groups_total", "Groups of events that were written and synced to the log.", &st.groups)
	counter("meterd_checked_events_total", "Events that were checked, which counts nothing of their devices.", &e.checked)
	counter("meterd_commit_bytes_total", "Bytes that were written to the log, compressed.", &st.bytes)
	counter("meterd_log_rows_total", "Rows that were written to the log.", &st.rows)
	gauge := func(name, help string, f func() float64) { set.Gauges(name, help).Func(f) }
	gauge("meterd_checkpoint_age_seconds", "Time since the last checkpoint, 0 before the first.", e.checkpointAge)
	gauge("meterd_devices", "Devices that the device table holds: all that were ever active.", func() float64 {
		return float64(e.table.Len())
	})
	gauge("meterd_devices_active", "Devices with a running licence.", func() float64 {
		return float64(e.sumProducts(func(s *license.ProductState) int64 { return s.Active.Load() }))
	})
	gauge("meterd_devices_online", "Devices that are online.", func() float64 {
		return float64(e.sumProducts(func(s *license.ProductState) int64 { return s.Online.Load() }))
	})
	gauge("meterd_producers", "Producers that are remembered.", func() float64 { return float64(e.producers.Len()) })
	gauge("meterd_sequences_bytes", "Bytes that remembered sequences take, long answers apart.", func() float64 {
		return float64(e.producers.MemoryBytes())
	})
	set.Counters("meterd_duplicates_total", "CloudEvents that were answered as the first time and counted nothing.").Func(
		func() float64 { return float64(e.repeats.Found()) },
	)
	gauge("meterd_event_ids", "CloudEvents whose source and id are remembered.", func() float64 {
		return float64(e.repeats.Len())
	})
	gauge("meterd_event_ids_bytes", "Bytes that remembered sources and ids take.", func() float64 {
		return float64(e.repeats.Bytes())
	})
	gauge("meterd_answers_pending_bytes", "Bytes of long answers that wait for the ledger.", func() float64 {
		return float64(e.producers.LongBytes())
	})
	gauge("meterd_table_mapped_bytes", "Bytes of address space that the device table has.", func() float64 {
		return float64(e.table.ReadStats().MappedBytes)
	})
	e.views.RegisterMetrics(set, e.clock.view)
	stopped := set.Gauges("meterd_ingest_stopped",
		"Whether events are refused for this reason, 1 or 0; out_of_memory refuses those of new devices alone.")
	for _, reason := range StopReasons() {
		stopped.Func(func() float64 { return number(e.IngestStopped(reason)) }, "reason", reason)
	}
}

// Reasons why events are refused.
const (
	StoppedByClock  = "clock_leap" // R12
	StoppedByDisk   = "disk_full"
	StoppedByMemory = "out_of_memory" // those of new devices alone
	// StoppedByCluster: a server of NATS could lose what it acknowledges, or the cell's stream runs full.
	StoppedByCluster = "cluster"
)

// StopReasons returns why ingest may be stopped.
func StopReasons() []string {
	return []string{StoppedByClock, StoppedByDisk, StoppedByMemory, StoppedByCluster}
}

// IngestStopped reports whether events are refused for one of StopReasons.
func (e *Engine) IngestStopped(reason string) bool {
	switch reason {
	case StoppedByClock:
		return e.clock.leapt()
	case StoppedByDisk:
		return e.o.Guard.Stopped()
	case StoppedByMemory:
		return e.shortage.refused.Load() > 0
	case StoppedByCluster:
		return e.unsafe()
	}
	return false
}

// Views returns how each view of the log stands.
func (e *Engine) Views() []views.Status { return e.views.Status(e.clock.view()) }

// CountedMs returns an instant, Unix milliseconds: every durable event that was decided before it is in the ledger.
func (e *Engine) CountedMs() int64 { return e.views.PassedMs(e.o.Ledger) }

func (e *Engine) registerEvents(set *metric.Set) {
	events := set.Counters("meterd_events_total", "Events that were decided, by their type and the verdict.")
	add := func(t event.Type, name string, c event.Code) {
		events.Func(func() float64 { return float64(e.verdicts[t][c].Load()) }, "type", name, "verdict", c.String())
	}
	for t := event.Connect; int(t) < event.Types; t++ {
		for _, c := range event.EventCodes() {
			add(t, t.String(), c)
		}
	}
	add(0, "unknown", event.InvalidEvent) // An event whose type cannot be read is of none, and invalid.
	would := set.Counters("meterd_would_deny_total",
		"Events that were accepted, and would have been denied if their product did not only observe its quotas.")
	for _, t := range []event.Type{event.Up, event.Down, event.OTA} {
		code := event.MessageQuotaExceeded
		if t == event.OTA {
			code = event.OTAQuotaExceeded
		}
		would.Func(func() float64 { return float64(e.observed[t].Load()) }, "type", t.String(), "code", code.String())
	}
}

func (e *Engine) checkpointAge() float64 {
	last := e.checkpoint.last.Load()
	if last == 0 {
		return 0
	}
	return time.Since(time.Unix(0, last)).Seconds()
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
	if told := s.told.Load(); told != nil {
		told.gateSeconds.Update(closed.Seconds())
	}
	for {
		most := s.stallMaxNs.Load()
		if int64(closed) <= most || s.stallMaxNs.CompareAndSwap(most, int64(closed)) {
			return
		}
	}
}

// RowsLogged returns how many rows were written to the log since the start.
func (e *Engine) RowsLogged() uint64 { return e.stats.rows.Load() }

func (s *stats) committed(rows, bytes int, encode, sync time.Duration) {
	s.groups.Add(1)
	s.rows.Add(uint64(rows))
	s.bytes.Add(uint64(bytes))
	if told := s.told.Load(); told != nil {
		told.commitSeconds.Update(sync.Seconds())
		told.encodeSeconds.Update(encode.Seconds())
		told.groupRows.Update(float64(rows))
	}
}

// verdictCounts are events by type and verdict since the process began.
type verdictCounts [event.Types][event.Codes]atomic.Uint64

// observedCounts are events by type that would have been denied, since the process began.
type observedCounts [event.Types]atomic.Uint64

// take adds what a lane counted and empties it. The gate is closed.
func (c *observedCounts) take(l *lane) {
	for t, n := range l.observed {
		if n > 0 {
			c[t].Add(n)
			l.observed[t] = 0
		}
	}
}

// take adds what a lane counted and empties it. The gate is closed.
func (v *verdictCounts) take(l *lane) {
	for t := range l.verdicts {
		for c, n := range l.verdicts[t] {
			if n > 0 {
				v[t][c].Add(n)
				l.verdicts[t][c] = 0
			}
		}
	}
}
