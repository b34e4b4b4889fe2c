// Package disk keeps a data directory: its lock, version and identity, the free space of its file system, and the
// checkpoints. It also has what every writer of files needs to be sure of them: synced replacement, small text files
// with a checksum, removal that does not hold up syncs. It knows nothing of the log, and nothing of Badger.
//
//	OpenDir ──► LOCK, VERSION, IDENTITY     one daemon, a format it reads, one region; else refused with what to do
//	   │
//	   ├──► Guard       free space, looked at every so often:   Low ───► Stopped ───► Exhausted
//	   │                                                      upkeep waits no events  no administration, no ledger
//	   │                BALLAST is given up to open on a full disk, and made again when there is room
//	   ├──► Meter       what each directory takes and how fast that grows: in how many days Stopped is near
//	   └──► LogPath, LedgerPath, CheckpointPath: where the others keep theirs
//
//	Checkpoints ──► checkpoint/   Create ─► Section … ─► Commit: written, synced, renamed, the directory synced
//	                              Latest ─► Sections: each checked, then the file as a whole
//
// Invariants:
//
//   - While a Dir is open no other process has the directory. The kernel frees the lock however the process dies.
//   - A file under its final name is whole and durable: it was written under NAME.tmp, synced and renamed, and its
//     directory was synced. What ends in .tmp is removed by the next start.
//   - VERSION is written last by the first start, so a directory without it holds nothing that was acknowledged.
//   - A damaged file is an error that names it; an older checkpoint never takes a damaged one's place.
//   - What a level of the Guard stops goes on only when there is more room than the level needs, so that it does not
//     alternate.
//
// FORMAT.md draws every file.
package disk
