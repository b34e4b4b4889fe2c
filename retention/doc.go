// Package retention is the data directory; its packages are what lies in it. It holds no code itself.
//
//	retention/disk     the directory: lock, version, identity, free space, checkpoint files
//	retention/log      the commit log: segment files behind Append and Replay
//	retention/archive  a view of the log: its events by device, in Badger
//	retention/ledger   a view of the log: small sorted rows that outlive it, in Badger
//
//	engine ─ Append(group) ─► log ─► durable ─► views ─► archive, ledger
//	       ─ Create ────────► disk: a checkpoint, so that only the log behind it is replayed
//
// Nothing else of meterd keeps files in the data directory, but the token of the first start, which cmd writes. Each
// package draws its files byte by byte in its FORMAT.md; FORMAT.md beside this file says what lies where.
package retention
