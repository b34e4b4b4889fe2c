// Package export puts sealed snapshots where others read them: a directory, or a bucket of S3 or what is compatible.
//
//	sealed.Store ─► Exporter.Run ─► ID/devices.* ID/products.csv ID/SHA256SUMS, then ID/manifest.json ─► Place
//	                    │ done                                                                     directory, S3
//	                    └─► Store.Exported
//
// Invariants:
//
//   - A snapshot whose manifest is there is there as a whole.
//   - Snapshots are exported in the order of their sequences, each until it is done: across failures, with growing
//     pauses, and across restarts.
//   - What is exported is what was sealed: each file is hashed before it is sent.
//   - A place that has another daemon's snapshots is never written over.
package export
