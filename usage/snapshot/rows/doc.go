// Package rows makes the rows of a usage snapshot, from the state and the ledger as they stood at one group.
//
//	ledger: licences ─► counted by device ───┐
//	state: words of each device ─────────────┼─► join by maximum, a range ─► rows of devices ─┐
//	ledger: closed days, OTA words, late     ┘   of shards at a time                          ├─ equal?
//	        voids                                                                             │
//	state: totals, less the ledger's as the month began ─────────────────► rows of products ──┘
//
// Steps: the totals of state and ledger are compared, and the licences that pools gave out with those that the ledger
// lists; how many each device consumed is kept. Then the devices of each range are put in order by product and ordinal,
// and everything else that the ledger has of them for the month is merged in, product by product. At the end the sums
// of the rows are compared with the totals.
//
// Invariants:
//
//   - What a device used on a day is in its word, in the ledger, or in both: then they are of the same day, and the
//     larger number holds.
//   - Memory is bounded by the devices of one range, but for the licences: a byte and a third a device.
//   - Whatever differs is a *snapshot.Difference: no row is mended.
package rows
