// Package usage is the view of the log that billing reads: licences consumed and ended, what every product had used by
// the end of each quarter of an hour and day, what each device used on each day, and the audit log. It outlives the
// log's retention. It also keeps what decisions look up once memory has let go of it: OTA ids, and answers that are too
// long to be remembered.
//
//	views.Runner ─► Ledger.Apply(groups) ─► rows of several groups ─► one synced transaction with the position
//	                                                                  ─► DIR/ledger
//	console      ◄─ Licenses, Audit ◄─ ordered scans
//	             ◄─ TotalsAt ◄─ for windows of usage: one row a day, or a search an instant
//	shard        ◄─ Upgrade, Answer ◄─ one row
//
// Invariants:
//
//   - A row holds absolute values under a key of its own. Applying a group twice writes the same rows again.
//   - Totals of a product only grow, and rows hold them since its creation: what was used in a window is the difference
//     of two rows, whatever its length, and windows that meet add up.
//   - What a product had used before the first of its rows that is kept is known, since the first row of each day comes
//     with the totals as the day began; unless the ledger itself begins later than the product.
//   - The position moves in the transaction that completes a group. The rows of a group that is too large for one
//     transaction may be there before it; so may merged blocks of the days that it ends, which take several calls of
//     Apply if they are many.
//   - Rows of licences lie in blocks. After a crash a block may repeat rows of another one; serials of a product rise,
//     so a reader passes over what it has seen.
//   - What a device counted on a day is there once the day is closed. Readers take one of two levels of blocks, and the
//     row that says which one changes in the transaction that moves the position over the day's end.
//
// FORMAT.md draws the rows.
package usage
