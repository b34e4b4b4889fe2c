// Package commands is what gateways must be told: to disconnect a device that was put offline (R3), and to forget what
// they remember of a product. It keeps each disconnect until its device connects, a day has passed, or there are too
// many, and hands both kinds to listeners, in order and from any place on.
//
//	decision ──Add──► kept, by device, by account, by sequence ──WriteKept──► checkpoint ──ReadKept──► kept
//	                    │ ▲
//	                    │ └─Renew, Disown── sessions that change otherwise than by a connect
//	                    │
//	group durable ──Publish──► may be heard ──Page──► stream of a gateway, which goes on from a Place
//	change durable ──Changed──► refreshes, the older ones in the audit log
//
// Invariants:
//
//   - A connect neither takes a lock here nor calls anything. A disconnect is compared with the session of its device
//     when it is read (isOver), and what is over is tidied away a few entries at a time.
//   - Nothing is heard before its group is durable.
//   - A listener hears by rising sequence, each disconnect once, whatever else is kept; one of all accounts hears them
//     in one order.
//   - A place is honoured only by the history that named it (history): after another copy of the data directory has
//     taken over, a listener hears all that is kept instead of missing some.
//   - The gate and the lock are held for some tens of entries at a time, whatever is kept, and what is kept is bounded,
//     so that no account is pushed out by one that keeps more (kept).
//
// The sections of a checkpoint are drawn in FORMAT.md.
package commands
