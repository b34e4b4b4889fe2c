// Package backup copies the data directory of a daemon that goes on to a directory, to S3 or to another node, as of one
// instant, and makes a data directory of such a copy.
//
//	Open ── holds ─► log from its first group on        nothing is released or removed while it is copied
//	     │           newest checkpoint, archive directories, sealed snapshots
//	     ├─ opens ─► rows of ledger and webhooks, each between two groups
//	     └─ cuts ──► the last durable group: last, so that everything else is of it or of groups before
//	Write ─► tar: VERSION IDENTITY checkpoint/ archive/ ledger/ webhooks/ snapshots/ log/ … and manifest.json, last
//	           │
//	           ├─► Receive ─► Place: a directory or a bucket ─► Restore ─┐
//	           └─► Receive ──────────────────────────────────────────────┴─► Target: a data directory, VERSION last
//
// What is copied is not an image of the files. Segments lose what an earlier use of their files has left, and ledger
// and webhooks travel as rows, for Badger changes its files while they are read. The usage history is left out: it is
// filled again from the ledger.
//
// Invariants:
//
//   - A copy has every group that was durable when Open was called, and at most a few later ones: what was acknowledged
//     before is in it.
//   - A copy without manifest.json is no copy. The manifest names each file with its size and SHA-256 and has a sum of
//     its own: whoever reads a copy proves all of it, and names the file that differs.
//   - A damaged ledger is not copied. Damaged directories of the archive are, as they are, and the manifest names them:
//     a node takes no such copy, and meterd backup says so.
//   - What fails half-way removes what it has written. What a kill leaves has no manifest, or no VERSION: neither is
//     taken for whole, and nothing is ever written over.
//   - A daemon that copies yields to its disk: when space runs low the copy ends, and everything is released.
//   - Memory is bounded: a part of rows, one block of a file, one part of an object.
//
// FORMAT.md draws what is in a copy.
package backup
