// Package sealed makes sealed usage snapshots and keeps them: the rows of a snapshot.Source as files that never change
// again.
//
//	console, schedule ─► Maker.Make ─► Cut ─► snapshot.Source
//	                       │                    │ rows in batches
//	                       │                    ├─► devices.csv ─────┐
//	                       │                    ├─► devices.ndjson ──┼─► DIR/snapshots/.ID.tmp/
//	                       │                    ├─► devices.parquet ─┤        │ synced; the manifest last
//	                       │                    └─► products.csv ────┘        │
//	                       ├─ entry in the audit log ◄────────────────────────┤
//	                       └─ rename ─► DIR/snapshots/ID/ ─► downloads, export
//
//	another node's audit log ─► Record ─► Keeper ◄─ files ─ Source: a node that has it
//	                                        └─► DIR/snapshots/.ID.tmp/ ─► DIR/snapshots/ID/
//
// Invariants:
//
//   - A snapshot is there with all its files, or not at all: its directory gets its name when everything in it is
//     durable. A start completes one that was complete but for its name, and removes what else a crash left.
//   - What has its name is never written again. Sequences rise by one, and each manifest has the checksum of the one
//     before.
//   - Nothing is sealed whose rows do not add up to the totals. It is refused, logged, counted, and stands in the audit
//     log.
//   - Snapshots are kept, but for daily ones of a month whose final one is sealed: these are removed after a while. The
//     audit log keeps the check sum.
//   - A snapshot stands in the audit log: a token that was deleted meanwhile has made none. What the log names, every
//     node of a cluster gets: proved by the check sums that the log has, and shown when all of it is durable.
//   - What the schedule has done stands there, too: no other node makes a day twice.
//   - Memory is bounded, whatever the number of devices: rows pass in batches, Parquet in row groups.
//
// FORMAT.md draws what lies on disk.
package sealed
