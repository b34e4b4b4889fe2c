// Package record is the codec of what a group of the commit log says: which events were decided, and how the state
// stood after each. It neither decides nor stores; retention carries its bytes, the engine joins what it reads.
//
//	lane ──Message, Denied, Grant, …──► Builder ──Finish──► chunk (columns) ──Compress──► retention/log.Group.Chunks
//	                                    Head ─────Append──────────────────────────────► retention/log.Group.Head
//	Group ──► Decompress ──► Chunk.Bindings (first, of all chunks) ──► Chunk.Rows, Chunk.Effects ──► join
//
// Invariants:
//
//   - Records carry words after their event, never increments: applying a chunk twice, late, or beside others in any
//     order leaves the same state. Bindings come first, for a row may name a device whose binding stands in another
//     chunk of the same group.
//   - A chunk is one lane's share of a group: rows are in the order in which that lane decided them.
//   - Decoding trusts nothing: whatever bytes come, it returns an error or rows, and never reads outside of them.
//
// The layout is drawn in FORMAT.md.
package record
