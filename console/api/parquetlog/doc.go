// Package parquetlog writes a raw log as one Parquet file while it is read, in bounded memory however long the log is.
//
//	Add ──► batch of rows, texts copied ──► columns: pages, zstd ──► row group, written and let go of
//	                                                                   │
//	Close ─────────────────────────────────────────────────────────────┴──► footer: where the row groups lie
//
// Invariants:
//
//   - Columns are named like the members of a log entry in JSON. What may be missing there is null here.
//   - Times are timestamps in milliseconds, UTC. Counts are signed, since not every reader has unsigned numbers.
//   - Rows stand in the order of Add. Only one row group lies in memory, and of those before it what the footer says.
//   - Without Close there is no footer, and no program reads the file: what broke off is never taken for whole.
package parquetlog
