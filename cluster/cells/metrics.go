package cells

import (
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/metric"
)

// RegisterMetrics adds the engine's metrics to set.
func (e *Engine) RegisterMetrics(set *metric.Set) {
	count := set.Counters("meterd_cluster_batches_total",
		"Batches of gateways for all accounts, by where they went: whole to one cell, or in parts to several.")
	count.Func(func() float64 { return float64(e.stats.whole.Load()) }, "to", "one")
	count.Func(func() float64 { return float64(e.stats.split.Load()) }, "to", "several")
	set.Counters("meterd_cluster_batches_noted_total",
		"Batches whose way the home of their producer noted: several cells, or a product that is or was unknown.").
		Func(func() float64 { return float64(e.stats.noted.Load()) })
	set.Counters("meterd_cluster_hangups_total",
		"Requests whose connection was closed because an owner did not answer.").
		Func(func() float64 { return float64(e.stats.closed.Load()) })
	events := set.Counters("meterd_events_total", "Events that were decided, by their type and the verdict.")
	for t := range e.stats.denied {
		name := event.Type(t).String()
		if t == 0 {
			name = "unknown"
		}
		for _, c := range []event.Code{event.UnknownProduct, event.PayloadTooLarge, event.InvalidEvent} {
			events.Func(func() float64 { return float64(e.stats.denied[t][c].Load()) }, "type", name, "verdict", c.String())
		}
	}
}
