package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
)

// meter is what GET /metrics shows. No label is ever a device.
type meter struct {
	set         *metrics.Set
	connections atomic.Int64
	latency     *metrics.Histogram
	dismissed   *metrics.Counter
	dropped     struct{ queue, identity, connections, accept *metrics.Counter }
}

// verdictUnknown stands for codes that this version does not know, so that a server cannot make labels grow.
const verdictUnknown = "unknown"

func newMeter(c *client.Client) *meter {
	m := &meter{set: metrics.NewSet()}
	gauge := func(name string, f func() float64) { m.set.NewGauge(name, f) }
	gauge("meterd_gateway_connections", func() float64 { return float64(m.connections.Load()) })
	gauge("meterd_gateway_unasked_pending", func() float64 { return float64(c.Stats().Unasked) })
	gauge("meterd_gateway_queued", func() float64 { return float64(c.Stats().Queued) })
	gauge("meterd_gateway_requests_in_flight", func() float64 { return float64(c.Stats().InFlight) })
	gauge("meterd_gateway_requests_total", func() float64 { return float64(c.Stats().Requests) })
	gauge("meterd_gateway_retries_total", func() float64 { return float64(c.Stats().Retries) })
	gauge("meterd_gateway_replayed_total", func() float64 { return float64(c.Stats().Replayed) })
	gauge("meterd_gateway_producer_shared_total", func() float64 { return float64(c.Stats().ProducerShared) })
	gauge("meterd_gateway_ambiguous_total", func() float64 { return float64(c.Stats().Ambiguous) })
	gauge("meterd_gateway_unasked_lost_total", func() float64 { return float64(c.Stats().UnaskedLost) })
	gauge("meterd_gateway_command_stream_up", func() float64 { return float64(c.Stats().CommandsOpen) })
	gauge("meterd_gateway_command_streams_total", func() float64 { return float64(c.Stats().CommandStreams) })
	gauge("meterd_gateway_commands_ignored_total", func() float64 { return float64(c.Stats().CommandsIgnored) })
	m.dismissed = m.set.NewCounter("meterd_gateway_dismissed_connections_total")
	m.latency = m.set.NewHistogram("meterd_gateway_ask_duration_seconds")
	m.dropped.queue = m.set.NewCounter(`meterd_gateway_dropped_total{reason="queue_full"}`)
	m.dropped.identity = m.set.NewCounter(`meterd_gateway_dropped_total{reason="no_identity"}`)
	m.dropped.connections = m.set.NewCounter(`meterd_gateway_dropped_total{reason="too_many_connections"}`)
	m.dropped.accept = m.set.NewCounter(`meterd_gateway_dropped_total{reason="accept_failed"}`)
	for t := event.Connect; t <= event.Down; t++ {
		m.set.NewCounter(fmt.Sprintf(`meterd_gateway_unasked_total{type=%q}`, t)) // Shown before the first outage.
	}
	return m
}

// asked counts one event and what came of it.
func (m *meter) asked(t event.Type, v client.Verdict, err error, took time.Duration) {
	if took > 0 {
		m.latency.Update(took.Seconds())
	}
	verdict := verdictName(v)
	switch {
	case errors.Is(err, client.ErrOverloaded):
		verdict = "overloaded"
	case errors.Is(err, client.ErrInvalid):
		verdict = event.InvalidEvent.String()
	case isAmbiguous(err):
		verdict = "ambiguous"
	case err != nil:
		verdict = "unavailable"
	case v.Unasked:
		verdict = "unasked"
		m.set.GetOrCreateCounter(fmt.Sprintf(`meterd_gateway_unasked_total{type=%q}`, t)).Inc()
	}
	m.set.GetOrCreateCounter(fmt.Sprintf(`meterd_gateway_events_total{type=%q,verdict=%q}`, t, verdict)).Inc()
}

// reported counts what meterd said later about an event that had passed unasked.
func (m *meter) reported(t event.Type, v client.Verdict) {
	m.set.GetOrCreateCounter(fmt.Sprintf(`meterd_gateway_reported_total{type=%q,verdict=%q}`, t, verdictName(v))).Inc()
}

// commanded counts a command.
func (m *meter) commanded(cmd client.Command) {
	name := fmt.Sprintf(`meterd_gateway_commands_total{command=%q}`, cmd.Kind)
	if cmd.Kind == client.CommandDisconnect {
		name = fmt.Sprintf(`meterd_gateway_commands_total{command=%q,reason=%q}`, cmd.Kind, codeName(cmd.Reason))
	}
	m.set.GetOrCreateCounter(name).Inc()
}

func verdictName(v client.Verdict) string { return codeName(v.Code) }

// codeName returns a code of the contract as it is, and verdictUnknown for others.
func codeName(code string) string {
	for c := range event.Code(event.Codes) {
		if code == c.String() {
			return code
		}
	}
	return verdictUnknown
}

// handler serves GET /metrics.
func (m *meter) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		m.set.WritePrometheus(w)
		metrics.WriteProcessMetrics(w)
	})
	return mux
}
