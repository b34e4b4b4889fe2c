// Package ledger keeps what must outlive the log: small rows in the order of their keys, in one Badger directory. It is
// a view of the log. Every transaction carries the position in the log that its rows reach, so that the two can never
// disagree: after a crash the rows are exactly those of the position that is found, and the log is applied from there.
//
//	log ─► group 41 ─► Write(rows, position 41) ─► one synced transaction: rows and position, all or nothing
//	       group 42 ─► WritePart(rows)          ─► a group of more rows than a transaction takes:
//	                   WritePart(rows)             the position stays at 41, so after a crash it is applied again
//	                   Write(rows, position 42) ─► and its rows, which are absolute, are written once more; Parts does it
//
//	Get, Scan ◄─ by key and prefix, both directions, beside writes
//	Instant   ◄─ the same, of the rows as they stood when it was opened
//	Maintain  ─► now and then: deletes rows whose time is over by the caller's clock, so that their space comes back
//
// Invariants:
//
//   - When Write or WritePart returns nil, the rows are on disk, and so are the names of the files that hold them.
//   - An error of Badger's is final, also one that it only logs (a failed sync of its value log, a value that cannot be
//     read): from then on every call fails, and Err says why. Nothing here ends the process, and a panic of
//     Badger's in a caller's goroutine becomes an error.
//   - Whoever opens the store may be told of a failure, and of damage that a reader meets (Options.Failed), and may put
//     another directory in its place when Close says ErrFailed.
//   - Damage that Badger answers by ending the process, or by dropping rows without a word, is found before Badger
//     opens the directory (check.go), and is an error that names the file. The caller moves the directory aside and
//     builds another one from the log.
//   - A row goes when a transaction deletes it by its key, or when Maintain does by the time that it is given. Badger's
//     own expiry goes by the wall clock, which may be wrong, and is not used.
//
// FORMAT.md draws what is in the directory.
package ledger
