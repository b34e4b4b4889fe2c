// Package views lets views follow the log: the ledger, the webhooks, the archive. A view is whatever can be computed
// from the log's groups. No decision reads one, but for two things that memory has let go of: the
// engine looks up ids of OTAs (resolveUpgrades) and long answers to repeated sequences (settleClaim) in the ledger,
// outside the gate. ledgerReaches refuses a ledger that lacks what memory let go of, and Upgrades.Epoch has a request
// look again if memory let go of ids since it looked.
//
//	committer ──Durable(group)──► tail (memory, bounded) ─┐
//	                                                      ├─► one goroutine a view: gather ─► View.Apply(groups)
//	log on disk ──ReadForward (what the tail dropped)─────┘            │
//	                                                                   └─► Position, stored by the view with its data
//
// A LogReader is no part of this: it is told how far the log is durable, and reads the log's files itself, because
// events are many times what groups hold for the others.
//
// Steps of one group: the committer appends it to the log, then hands it to Durable, which never waits. The view's
// goroutine gathers groups for up to a second, or until somebody waits for one of them, and calls Apply once for all of
// them. A view that falls behind the tail reads the log's files until it has caught up.
//
// Invariants:
//
//   - A view gets every group once the group is durable, in order, without a gap. After a crash it gets again what lies
//     behind its stored position; records hold absolute values, so a group that is applied twice changes nothing.
//   - A view stores its position (group and chain hash) in the same transaction as its data. Open compares it with the
//     log: a view of another history is refused.
//   - Each group comes with the catalogue that its events were decided under. Of groups from before the last start that
//     is the catalogue of that start, which may be newer.
//   - A view that fails is tried again, loudly, and holds the log's segments; it never stops enforcement.
//   - While the disk runs short of space, all views but the last one and those that write next to nothing rest; the
//     last one frees segments. While it is full all of them rest, because a view that writes to a full disk may end the
//     process. A LogReader never rests: it frees segments, and looks for room itself.
//   - Closing waits for a bounded part of what a view lacks. The next start goes on from its stored position.
//   - Passed is the last group that every view has durably passed: what lies behind it may leave the log.
package views
