// Package usage is the view of the log that billing reads: licences consumed and ended, totals of every product by
// quarters of an hour, what each device used on each day, and the audit log. It outlives the log's retention. It also
// keeps what decisions look up once memory has let go of it: OTA ids, and answers that are too long to be remembered.
//
//	views.Runner ─► Ledger.Apply(groups) ─► rows of several groups ─► one synced transaction with the position
//	                                                                  ─► DIR/ledger
//	console      ◄─ Licenses, Audit, Activations ◄─ ordered scans
//	shard        ◄─ Upgrade, Answer ◄─ one row
//
// Invariants:
//
//   - A row holds absolute values under a key of its own. Applying a group twice writes the same rows again.
//   - The position moves in the transaction that completes a group. The rows of a group that is too large for one
//     transaction may be there before it.
//   - Rows of licences lie in blocks. After a crash a block may repeat rows of another one; serials of a product rise,
//     so a reader passes over what it has seen.
//   - What a device counted on a day is there once the day is closed. Readers take one of two levels of blocks, and the
//     row that says which one changes in the transaction that moves the position over the day's end.
//
// FORMAT.md draws the rows.
package usage
