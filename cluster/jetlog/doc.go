// Package jetlog is the commit log of a cell of a cluster: a stream of NATS JetStream, which decides what was appended,
// and segments on each node, from which everything is read. An engine that has it cannot tell it from the log of one
// node: it is one, and Append has one step more.
//
//	owner                                                                     standby
//	Append(group) ─► parts, head ─► Publish, each expecting the one before ─┐
//	                                                                        ▼
//	                                     stream  … 41 head │ 42 part │ 43 head │ 44 epoch │ 45 barrier …
//	                                                         acknowledged by a majority, synced
//	                                                  │                                │
//	Log.Append ◄──────────────────────────────────────┘                                └─► Follower: reader ─► segments
//	segments, synced ─► nil                                                                (Claim: an epoch, then a Log)
//
// # The fence
//
// Each message says which sequence it expects to be the last one of the stream. So a node that is no longer the owner
// can append nothing, whatever it believes: somebody's epoch is in its way. No lease and no clock has a part in it.
//
// # Unknown outcomes
//
// An error of Publish says nothing. The sender reads what the stream has behind what it knows to be its own, and
// compares the whole message. If it is there it is taken for acknowledged, if nothing is there it is sent again with
// the same expectation, if something else is there the epoch is over. That nothing is found proves nothing; a refusal
// proves nothing, either, for the server compares with what it has proposed and not yet committed.
//
// # Reading
//
// A replica shows only what is committed, so what Read returns is true. What does not fit is asked for again at the
// replica that leads, before it counts as damage. The reader proves each message, each group and the hash chain, and
// drops parts without a head when the next epoch begins.
//
// # Handing over
//
// Yield is the last message of an epoch and names who shall begin the next one. It decides nothing: who begins is
// whoever's epoch is stored first, as ever. It saves the named node from waiting for silence.
//
// Promises:
//
//   - When Append returns nil the group is stored as the stream promises, and synced here. After any error of it
//     nothing is appended any more, and nobody may be told what was decided.
//   - When Barrier returns nil, this node owned the cell at a moment after it was called. The engine calls it for a
//     group that is waited for and has no records, so one barrier serves all who read meanwhile.
//   - A copy is a prefix of the stream: sequences, content and chain are those of the owner. A node that is deposed
//     follows with the segments that it has.
//   - A stream that is shorter than a copy, has another history or begins behind it is refused, and nothing is changed.
//
// Invariants:
//
//   - One message at a time is in doubt. If the next one were sent before, it would expect a sequence that may become
//     somebody else's, and could follow the epoch that deposed its owner.
//   - Segments are appended to behind the stream, never ahead of it.
//   - Epochs have no gap, and each begins behind everything that its node has read.
//
// FORMAT.md draws the messages; docs/cluster.md has the design, and what it was attacked with.
package jetlog
