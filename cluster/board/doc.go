// Package board lets every node of a cluster know how the others are, and what they have.
//
//	node n1 ── Tell ──► subject meterd.board.CLUSTER ──► n2, n3: table, the newest of each node
//	   once a second,       of core NATS: nothing             │
//	   and when something   is stored, nothing is             ├─► Nodes, Owner: who owns a cell, and where it is
//	   has changed          acknowledged                      └─► Positions: how far each copy was, in a small file
//
// What is told is a hint for whoever wants to reach an owner or take over: it may be late, lost or old. Nothing is
// decided by it that could let two nodes own a cell, for that is the stream's compare-and-swap alone (cluster/jetlog).
//
// Invariants:
//
//   - A node that was not heard for 5 s is silent: it is in Nodes, and owns nothing for Owner.
//   - An owner of an older epoch than anybody has seen is none any more.
//   - A position is told when its group is synced in segments, and never goes back for one copy of one stream. So a
//     stream or a copy that ends before one has lost something: Standing refuses it.
//   - Positions of another stream, or of a directory that was emptied since, say nothing about this one.
//   - A server that was forgotten is refused: it is asked for before it starts, and told when it is heard.
//
// FORMAT.md has the bytes.
package board
