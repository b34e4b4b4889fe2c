// Package demo makes a week of believable history in a new data directory, and goes on with it while the daemon runs.
//
//	week.go: what people did, and when ───────────┐
//	fleet.go, models.go: what devices do, and when ┤
//	                                               ├─► Make ─► Clock, a step ─► Engine: Administer, Decide, CatchUp
//	                                               │           in the past                  │
//	                                               │                              log ─► ledger, archive, history
//	                                               └─► Live ─► client ─► POST /v1/events of the daemon, real time
//
// Make hands everything to an engine whose Clock it moves from the beginning of the week to its end. No row is written
// past the engine: what ledger, archive, usage and verify show of the week is what they show of any other. The history,
// which samples in real time, is told afterwards what Options.Look has seen between the ledger's quarters of an hour.
// The engine is closed then, and the daemon opens the directory with the machine's clock, as after a restart: all
// decided times lie in the past, and a clock leaps only against itself (R12).
//
// Invariants:
//
//   - Two weeks of the same seed and beginning have the same events, at the same times, with the same verdicts. What
//     differs are secrets.
//   - Fleet knows no clock and no meterd: it is asked what happens up to an instant, and is told what was denied.
//   - Live never sees the engine. It is a gateway like any other, with a token of its own.
package demo
