// Package snapshot makes sealed usage snapshots: what every device and product used within a month, as of one instant.
//
//	state at a group ─┐
//	                  ├─► Source: rows of devices and products, compared ─► files
//	ledger at it ─────┘
//
// Invariants:
//
//   - All rows are of one instant: everything decided up to one group of the log, and nothing later.
//   - Rows come from the words of devices, totals from counters of products. A snapshot whose rows, totals and ledger
//     differ is refused, and the error names product, field and both numbers.
package snapshot
