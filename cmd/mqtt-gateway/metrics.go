package main

import (
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/metric"
)

// meter is what GET /metrics shows. No label is ever a device.
type meter struct {
	set          *metric.Set
	connections  atomic.Int64
	latency      *metrics.PrometheusHistogram
	disconnected *metrics.Counter
	denied       [faults]*metrics.Counter // messages that can never be valid, by why
	dropped      struct{ queue, identity, connections, accept *metrics.Counter }

	unasked, events, reports, commands metric.Counters
}

// verdictUnknown stands for codes that this version does not know, so that a server cannot make labels grow.
const verdictUnknown = "unknown"

// latencyBounds are the buckets of the time that meterd takes to answer: from 100 µs, doubling to 26 s.
func latencyBounds() []float64 { return metrics.ExponentialBuckets(100e-6, 2, 19) }

func newMeter(c *client.Client) *meter {
	m := &meter{set: metric.NewSet()}
	m.ofClient(c)
	m.set.Gauges("meterd_gateway_connections", "Connections of devices that are open.").Func(func() float64 {
		return float64(m.connections.Load())
	})
	m.disconnected = m.set.Counters("meterd_gateway_dismissed_connections_total",
		"Connections that were closed because meterd said so.").Of()
	m.latency = m.set.Histogram("meterd_gateway_ask_duration_seconds",
		"How long an event waited for its verdict.", latencyBounds())
	dropped := m.set.Counters("meterd_gateway_dropped_total",
		"Messages and connections that the gateway dropped by itself, by the reason.")
	m.dropped.queue = dropped.Of("reason", "queue_full")
	m.dropped.identity = dropped.Of("reason", "no_identity")
	m.dropped.connections = dropped.Of("reason", "too_many_connections")
	m.dropped.accept = dropped.Of("reason", "accept_failed")
	m.events = m.set.Counters("meterd_gateway_events_total",
		"Events, by their type and what meterd said; messages that can never be valid are denied without asking it.")
	denied := m.set.Counters("meterd_gateway_denied_total",
		"Messages that were acknowledged and dropped because they can never be valid, by the reason.")
	for f := noFault + 1; f < faults; f++ {
		m.denied[f] = denied.Of("reason", f.String())
	}
	m.reports = m.set.Counters("meterd_gateway_reported_total",
		"Events that had passed unasked and were reported later, by their type and meterd's verdict.")
	m.commands = m.set.Counters("meterd_gateway_commands_total", "Commands of meterd, by their kind and reason.")
	m.unasked = m.set.Counters("meterd_gateway_unasked_total",
		"Events that passed without a verdict because meterd did not answer, by their type.")
	for t := event.Connect; t <= event.Down; t++ {
		m.unasked.Of("type", t.String()) // Shown before the first outage.
	}
	return m
}

// ofClient adds what the client counts.
func (m *meter) ofClient(c *client.Client) {
	gauge := func(name, help string, of func(client.Stats) int64) {
		m.set.Gauges("meterd_gateway_"+name, help).Func(func() float64 { return float64(of(c.Stats())) })
	}
	gauge("unasked_pending", "Events that passed unasked and are not reported yet.",
		func(s client.Stats) int64 { return s.Unasked })
	gauge("spool_bytes", "Bytes that they take, in --spool or, without it, in memory.",
		func(s client.Stats) int64 { return s.SpoolBytes })
	gauge("queued", "Events that wait to be sent to meterd.", func(s client.Stats) int64 { return s.Queued })
	gauge("requests_in_flight", "Requests that wait for the answer of meterd.",
		func(s client.Stats) int64 { return s.InFlight })
	gauge("command_stream_up", "Whether the stream of commands is open, 1 or 0.",
		func(s client.Stats) int64 { return s.CommandsOpen })
	counter := func(name, help string, of func(client.Stats) uint64) {
		m.set.Counters("meterd_gateway_"+name, help).Func(func() float64 { return float64(of(c.Stats())) })
	}
	counter("requests_total", "Requests about events, those sent again included.",
		func(s client.Stats) uint64 { return s.Requests })
	counter("streams_total", "Times that the event stream was opened.", func(s client.Stats) uint64 { return s.Streams })
	counter("retries_total", "Requests that were sent again.", func(s client.Stats) uint64 { return s.Retries })
	counter("replayed_total", "Answers that meterd had given before: they were lost on the way at first.",
		func(s client.Stats) uint64 { return s.Replayed })
	counter("producer_shared_total", "Times that another gateway was found to use the name of this one.",
		func(s client.Stats) uint64 { return s.ProducerShared })
	counter("ambiguous_total", "Events whose answer never came: they may or may not have been counted.",
		func(s client.Stats) uint64 { return s.Ambiguous })
	counter("unasked_lost_total", "Events that passed unasked and could not be reported any more.",
		func(s client.Stats) uint64 { return s.UnaskedLost })
	counter("spool_faults_total", "Times that the spool began to refuse, or that a damaged file was set aside.",
		func(s client.Stats) uint64 { return s.SpoolFaults })
	counter("command_streams_total", "Times that the stream of commands was opened.",
		func(s client.Stats) uint64 { return s.CommandStreams })
	counter("commands_ignored_total", "Commands that this version does not know.",
		func(s client.Stats) uint64 { return s.CommandsIgnored })
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
	case v.Unasked && v.Accepted:
		verdict = "unasked"
		m.unasked.Of("type", t.String()).Inc()
	}
	m.events.Of("type", t.String(), "verdict", verdict).Inc()
}

// reported counts what meterd said later about an event that had passed unasked.
func (m *meter) reported(t event.Type, v client.Verdict) {
	m.reports.Of("type", t.String(), "verdict", verdictName(v)).Inc()
}

// commanded counts a command.
func (m *meter) commanded(cmd client.Command) {
	labels := []string{"command", cmd.Kind.String()}
	if cmd.Kind == client.CommandDisconnect {
		labels = append(labels, "reason", codeName(cmd.Reason))
	}
	m.commands.Of(labels...).Inc()
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
		w.Header().Set("Content-Type", metric.ContentType)
		_, _ = w.Write(m.set.Text()) // Who is gone needs no answer.
	})
	return mux
}
