// Package webhook tells people's own programs what happens: a device has used its day, licences run out, a snapshot is
// sealed, ingest has stopped. A webhook is a URL; it is a record of the catalogue (license.Hook).
//
//	log ──► groups ──► Apply ── marks of quotas, audit entries ──┐
//	                                                             ├─► queue of each hook, in the order of happening
//	engine, device table ──► lookout ── stock, days ahead, ──────┘        │
//	                         now and then   ingest                        ▼
//	                                                            courier: one goroutine a hook
//	                                                             │  signed POST (package send)
//	                                             2xx ◄───────────┼───────────► anything else
//	                                   taken from the queue      │             tried again, 5 s … 2 h apart
//	                                                             └── 3 days ──► dead letters ── retry ──► queue
//
// Steps of a message: it is written to the queue in one transaction with the view's position, or with the note that it
// was told. Its courier posts it until the receiver answers 2xx, and takes it from the queue then.
//
// Invariants:
//
//   - A message is delivered at least once: it leaves the queue after a 2xx, or as a dead letter, or with its hook. A
//     crash between the answer and the transaction sends it again, with the same webhook-id.
//   - The webhook-id is computed from what happened. So a group that is applied twice, and a hook of the same receiver,
//     give the same id, and a receiver that keeps ids takes everything once.
//   - The messages of a hook are delivered in their order; a later one is not tried before the earlier one is gone.
//   - No hook waits for another one: each has its courier, its queue and its pauses.
//   - Queues, dead letters and answers are bounded, also the queues of all hooks together. What finds a queue full is
//     dropped and counted. While the disk runs short a hook is told little more than what its receiver takes.
//   - What the log does not say is told once each time that it comes true; that it was told is kept with the message.
//   - Nothing here can stop enforcement. While the disk is full the view rests and nothing is sent.
//
// The rows in the store are drawn in FORMAT.md; what receivers read is in docs/webhooks.md.
package webhook
