// Package shard is the engine: it decides events, counts them, and acknowledges them when they are safe.
//
//	Submit ── wait for a lane ──► enter the open group ──► decide each event ──► leave ──► wait for the group ──► answer
//	             (GOMAXPROCS           │  catalogue, clock     │  slot words by CAS     │
//	              lanes)               │                       │  records into the lane │
//	                                   ▼                       ▼                        ▼
//	sealer:   close the gate ── take the lanes' records ── swap catalogue, grow the table, open the next group ── encode
//	committer:                                                   one synced append ───────► wake the group's waiters
//
// State is the join of the log's records: every word that lasts only grows in the order of its numbers, a record
// carries words after its event, and recovery takes the larger one. So records may be applied in any order, twice, or
// beside a checkpoint that was copied while they were made.
//
// What only looks is package query: it sees the state through View, and waits with Durable and DurableInLedger.
//
// Check decides a batch as Submit would, on copies of what it looks at (ground.go, check.go), and leaves nothing.
//
// A Standby is an engine that decides nothing: it joins the groups that another node appends, keeps its views warm, and
// can be promoted between any two groups (standby.go).
//
// Cut gives the whole state as of one group, and the ledger at it, beside all of that: what a sealed snapshot is made
// of. It costs requests what a checkpoint costs.
//
// Invariants:
//
//   - Groups are cuts. A request enters a group before its first decision and leaves when its records are in the lane,
//     and a group is sealed with nobody inside: what a record of group g reflects belongs to groups ≤ g. Groups are
//     written in that order. Whatever must see one instant (catalogue swaps, growth, totals) happens while the gate is
//     closed.
//   - Nothing leaves before it is durable: answers wait for their group, a View for the group that was open when it
//     read. After a failed write nothing leaves any more.
//   - Messages take no lock. What touches several words of a device (consuming, renewing, OTA) holds its account's
//     lock.
//   - No other code knows that there is one node: the engine calls the log through the interface Log alone. What it
//     gives and gets there (groups, chain hashes, blocks) has the types of retention/log, which another log would use.
package shard
