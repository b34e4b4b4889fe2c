// Package parts makes one snapshot of the parts that several cells of a cluster have of it. No rule spans cells, and no
// product is in two, so rows of all of them add up to the totals of all of them.
//
//	cell 3: snapshot.Source ──► Write ══ a stream ══► Open: snapshot.Source ──┐
//	cell 1: snapshot.Source ──► Write ══════════════► Open ───────────────────┼─► Join: snapshot.Source ──► files
//	cell 0: snapshot.Source ──────────────────────────────────────────────────┘
//
// Invariants:
//
//   - Each part is of one instant of its cell; the whole is of the newest of them.
//   - A part compares its own rows with its totals and its ledger, where they are. What differs there is refused here,
//     with the same words.
//   - A stream that ends too early is no part: its last record says that it is whole.
//   - Nothing is held but one record of each part.
//
// FORMAT.md has the bytes.
package parts
