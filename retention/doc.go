// Package retention keeps what must survive: the commit log and the ledger, in the data directory that package disk
// opens. It is the only room that knows Badger. To it a group's content is opaque bytes.
//
//	Append(group) ─► commit/g…0001/ one synced Badger transaction ─► commit/MARK (unsynced, never ahead) ─► nil
//	                 commit/g…0812/ the next directory, opened in the background, taken over between two groups
//	Replay(B+1) ◄─── every directory in order: sequence, checksums and hash chain are proved on the way
//	Scan(from,to) ◄─ headers first, chunks on request, also while Append goes on
//	Drop(now, B) ──► whole directories: renamed, then removed
//	Ledger.Write ──► ledger/      ordered keys that outlive the log; one synced transaction a write
//
// Promises:
//
//   - When Append or Write returns nil, what it was given is on disk, and so are the names of the files that hold it.
//     When either has failed once it fails for ever: a disk that lied is not asked again.
//   - What Append returned nil for is durable: the log syncs the files that its transaction went to (syncer.go), the
//     ledger leaves that to Badger.
//   - An error that Badger only logs is a failure. A failed sync of the value log is logged and the transaction still
//     says nil (badger v4.9.6 value.go, deferred in write), and a value that cannot be read is logged and returned as
//     nothing (iterator.go, yieldItemValue); so each instance has a logger that remembers the first error (badger.go).
//   - The log is contiguous: a hole, a lost tail before the mark, or a flipped byte is an error that names the file.
//     Only the last group, and only beyond the mark, may be torn; it was never acknowledged and is dropped.
//   - Damage is found before Badger could make it worse: a writable open truncates its newest files at the first bad
//     checksum, so they are walked read-only first (preflight.go), and what is refused stays as it was.
//
// Invariants:
//
//   - One goroutine appends. Group sequences begin at 1 and have no gap; decided times never go back (R12), so a
//     directory is searched by time through its sequence.
//   - Commit entries carry no TTL: a clock that jumps ahead must not eat the write-ahead log. Readers cut off by time,
//     disk is freed by dropping directories, and none goes that an installed checkpoint has not passed.
//   - One commit directory is writable (two for the moment of a rotation); at most ScansMax others are open, read-only,
//     and closed when idle.
//
// FORMAT.md draws every file.
package retention
