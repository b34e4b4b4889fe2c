// Package spool keeps what a gateway owes meterd until meterd has answered it: in memory, or in a directory that
// survives the gateway.
//
//	events that passed unasked ─► Append ─► Batch: events, events, … ─► Seal(sequence, body) ─► sent ─► Remove
//	a batch in doubt ─────────────────────────────────────────────────► Seal ─────────┘
//	                                          │ a file, synced before each call returns
//	kill -9, start ─► Open ─► the Batches that are left, in the order in which they are to be sent
//
// A Batch is what is sent as one request. It collects events, and is sealed with its sequence and its bytes before it
// is sent for the first time. So whoever finds it later knows whether it may have been counted, and can send the same
// bytes with the same sequence. Memory and disk hold the same records; FORMAT.md draws them.
//
// # Damage
//
// A record that was being written when the process died or the power went is not whole, and no other one is behind it:
// nobody was told that it is kept, so it is dropped. When the file merely ends within the record, Fault is not told.
// When the record has its length but does not fit its checksum, Fault is told: the disk may have changed it later, when
// it was already kept. A seal has another record behind it before its batch is sent, so one
// that is dropped was never sent.
//
// A record that does not fit its checksum before a whole one is damage: the file is renamed to end with .damaged, Fault
// is told, and nothing of the file is ever sent, since its seal may be what is damaged.
//
// # Invariants
//
//   - What Append, Seal and Restart have returned nil for is found again by Open, after a power cut too.
//   - The bytes and the sequence of a seal never change. A Batch that is sealed takes no more events.
//   - A directory belongs to one process at a time, and to one producer: sequences mean nothing under another name.
//   - Places rise, also from one process to the next. Open returns what is sealed first, and the others by place.
package spool
