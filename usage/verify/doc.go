// Package verify recounts a data directory from its raw log, and compares what everything else in it claims with that.
// It shares no code with what wrote the numbers: it imports neither the device table nor the engine nor their codecs,
// and reads groups, checkpoints and rows by what their FORMAT.md pages say. So a bug that counts wrongly cannot hide
// itself.
//
//	retention/log ─► group.go: inflate, decode ─► recount.go: row by row ─┬─ words of devices, in chains
//	 frames, hashes,   chunks, effects, head        one goroutine         ├─ pools, serials, plans' quotas
//	 chain                                                                └─ totals of products
//	                                                    │ compared while it goes
//	   heads of groups ◄────────────────────────────────┤
//	   ledger: licences, ends, upgrades, buckets, days ◄┤ each row when its group has passed
//	   checkpoint ◄─────────────────────────────────────┤ at its first and its last group
//	   sealed snapshots ◄───────────────────────────────┘ at their groups; their files before
//
// The first difference ends the recount. It is in the order of the log, so it is where the numbers parted.
//
// How each number is recounted:
//
//   - Words of messages and denials: each event's word is the one before it and the event's units under the plan of
//     then (R13), on the product's running day or the word's later one (R12); accepted ones stay within the plan (R10).
//     Events of one device in one group lie in the chunks of several lanes; they are put in the order of their words.
//   - Words of upgrades: allowance first, then packs (R16), a denial, or a void (R17), each with its event.
//   - Licences: serials are 1, 2, 3 …; each raises its pool, and its device's generation, by one (R1, R4).
//   - Pools: drawn less returned is at most what was credited less what was taken back, and equals what licences and
//     upgrades took.
//   - Totals of products: the sums of what words changed by, by quarter of an hour and day.
//   - Device-days: what words were when their day ended.
//   - Sealed snapshots: usage by the totals of products, manifests by their entries in the audit log (audit.go), which
//     also says which ones must be there, which were removed, and what their check sums were. Of one id the newest
//     entry counts.
//
// Invariants:
//
//   - Nothing in the directory is changed. The ledger is opened as a copy, since Badger cannot read what a kill left
//     without writing.
//   - A ledger may be amid a group that it takes in several transactions: a row that differs at its position must be
//     what a group behind that says (reached.go).
//   - What cannot be recounted is said, and why: groups that the log has let go of, rows that the ledger has not
//     reached. Then a number is taken as the first record says it, and checked from there on.
//   - Memory is about 130 bytes a device (devices.go) and, beside that, bounded by limits.go: groups pass one by one,
//     rows of the ledger a block at a time. Device-days of days that have not ended are held once, some 50 bytes each.
package verify
