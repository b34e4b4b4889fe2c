// Package metric keeps the numbers that GET /metrics shows, of the daemon and of the MQTT gateway, and writes them in
// the Prometheus text format.
//
// Its promise: what it writes passes `promtool check metrics` without a word. A family (all samples of one name) has
// its type and a sentence of help by construction: a name or a help that the tool would complain about is a bug of the
// program, and panics when it is registered.
//
//	Set ──┬─ Counters "meterd_events_total"  ── samples by label   Of: a counter · Func: a number kept elsewhere
//	      ├─ Gauges   "meterd_devices"       ── samples by label   Func: a number that is looked up
//	      └─ Histogram "meterd_…_seconds"
//	process.go: what the runtime and the kernel say of the process, of a fixed list of names
//
// Invariants:
//   - A name belongs to one family, and a family to the code that registered it.
//   - No label is ever a device, an account or anything else that clients could make many of.
//
// The values themselves are those of github.com/VictoriaMetrics/metrics, which counts without a lock but knows no help.
package metric
