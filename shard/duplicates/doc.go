// Package duplicates remembers the CloudEvents that were decided last, by source and id, so that one that is sent again
// is answered as the first time and counts nothing.
//
//	event ── Begin ──┬── not known ──► decided, inside the gate ──► Remember ──► record of the same group
//	       (locks    │                                        └───► Forget: nothing that must be remembered
//	        its key) └── known ──────► answered as before ─────────► Forget
//
// Here a key is a hash of account, source and id. A shard keeps its keys in a ring, oldest first, and finds them
// through an index of places in the ring. Memory grows with what is remembered, 32 bytes a key, to 134 MB and no
// further; what is a day old is forgotten, and a shard that is empty gives its memory back.
//
// Invariants:
//
//   - A key is decided by one event at a time: from Begin on, another event with the same key waits until the first one
//     is decided. So it does not matter whether the two are in one batch, in flight together, or a day apart.
//   - The record is in the group of its event: effect and memory of it are one write. Who finds a key waits for the
//     group that was open then; the first event is in it, or in one before it.
//   - Remembering is state: it comes back from checkpoint and log. Of two records of a key the later one counts, so
//     records may be read twice and in any order.
package duplicates
