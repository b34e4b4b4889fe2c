// Package recovery holds the state that decisions read, and brings it back after a crash.
//
//	                 ┌─ Write ──► checkpoint: copied while events go on, "everything up to B, perhaps more up to E"
//	State ◄── engine ┤
//	                 └─ records of each group ──► log
//
//	start:  checkpoint ─► State ─► log from B + 1: decode ─► join, in order ─► State as it was acknowledged
//
// A joiner goes on with Follow while another node appends to the log: between two groups the state is that of the group
// before, and may be looked at.
//
// A Cut joins in the same way beside an engine that goes on, a range of shards at a time: the state as of one group.
//
// Steps of joining one group: the bindings of all its chunks, what is forgotten, then words and effects, then its
// administrative changes. Two goroutines share the work: one reads and decodes groups, the other joins them.
//
// Invariants:
//
//   - Every step takes the larger of two values. So records may be joined twice, or beside a checkpoint that reflects
//     them already.
//   - A change is applied only if its number follows the last one: a smaller one is in the checkpoint, a larger one
//     means that one is missing, and the start is refused.
//   - What decisions look up in the ledger once memory has let go of it (OTA ids) is state until the ledger's durable
//     position has passed its group.
package recovery
