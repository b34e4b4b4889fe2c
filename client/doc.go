// Package client is the Go SDK of gateways: it asks meterd about events and hands back verdicts. It also has what a
// program needs that administers meterd.
//
//	Decide, Submit ─► lane (by device) ─ gather ≤ Linger ─► batch ─ stream or POST ─► verdicts
//	                  one batch in flight                   immutable body, sequence   │
//	                  owed: what passed unasked, in doubt ◄ not answered ◄─────────────┘
//	                        in memory, or in a spool on disk
//
// # Batches
//
// Decide asks about one event, Submit about several; Begin hands one in and leaves its verdict for later. Concurrent
// events are gathered into batches of protobuf. An event that finds no request of this client in flight is sent at
// once. Otherwise it waits for more events, at most Linger or until the batch is full. A batch is encoded once,
// gets its sequence with its first try, and is never changed, so that the same bytes can be sent again.
//
// # Transport
//
//	lanes ─ batches, acks ─────────► one WebSocket, GET /v1/stream ─► meterd
//	lanes ◄─ answers, in order ────┘ │
//	Commands ◄─ commands ────────────┘
//
// By default everything goes over one event stream, which is opened when it is first needed, and again when it broke. A
// batch that was on a stream without an answer is in doubt, and is sent again on the next one with its sequence.
// Answers come in order: one that is late for a third of Timeout ends the stream, since all behind it are late, too. No
// more is in flight than meterd gives credit for. OverHTTP sends each batch as a request of its own, with the same
// bytes and the same promises, for what lies between that lets no WebSocket pass.
//
// # Order
//
// The server decides a batch in order, but not two batches that are in flight together. So every device belongs to one
// of InFlightMax lanes (by a hash of its name), a lane has at most one batch in flight, and events of a device are
// decided in the order in which they were handed in. Lanes were chosen over a single batch in flight because one slow
// answer then delays 1/InFlightMax of the devices, and because the server's log needs several requests to fill a group.
//
// # Commands
//
//	Commands, a channel ◄─ one at a time ─ disconnect, refresh ◄─ stream, or GET /v1/commands?producer=… (Last-Event-ID)
//
// A gateway that has devices hears through Commands which of them to put offline (R3, R19, R20), and for which products
// to forget the denials that it remembers. The stream is opened again behind the last command that was received from
// the channel, so none is missed; one may come twice. A gateway that does not receive holds up its commands and nothing
// else.
//
// # Administration
//
// Admin is the other half of the API for programs: it makes single calls, follows the pages of a list, and reads a log
// as it is streamed. It knows the contract's conventions (problems, pages, escaping of names) and none of its calls.
//
// # Bounds
//
// Waiting events are bounded in number and bytes: beyond that an event fails at once with ErrOverloaded, or its caller
// waits for room (QueueWaits). In flight, or kept because it is in doubt, is at most one batch a lane. Timeout bounds
// the wait for a turn, and again the asking; the two together bound Decide.
//
// # Retries
//
//	batch ─ Meterd-Sequence n ─► no answer, or not now ─ pause ─► the same bytes and n ─► … ─► the first answer,
//	                                                                                           counted once
//
// Networks fail between a decision and its answer. So every batch has a sequence of this producer, meterd remembers
// what it answered to it, and the same bytes with the same sequence count once, however often they are sent. What
// happens to a try decides what comes next:
//
//   - It was not answered: no connection, one that broke or was cut within the answer, an answer that is none, a third
//     of Timeout gone, or 3 s where there is another node, a 5xx. The last includes a 503 without one of meterd's
//     codes: something in between may have handed the request on before it failed. Unless there was no connection at
//     all the batch is in doubt from then on. It is sent again.
//   - 503 of meterd's: nothing was counted by this try. It is sent again.
//   - Another 3xx or 4xx: nothing was counted, and asking again would not help. The events fail. But what an earlier
//     try left in doubt is sent again after these too, since only meterd's word about the sequence settles it.
//   - 409 sequence_too_old, 422 sequence_reused: see below.
//
// It ends with Timeout. A batch that is in doubt then is Ambiguous, and nothing else is. Codes within an answer of 200
// are verdicts, never failures.
//
// The pause between two tries grows from 10 ms to 1 s, jittered. Retry-After lengthens it, to at most an eighth of
// Timeout: meterd says 1 to 4 s when it is overloaded and while it starts, and a gateway whose own deadline is shorter
// must not give up a batch for that. No pause reaches beyond the deadline: the last one is cut so that an eighth of
// Timeout is left for a last try. Timeout should therefore be longer than a restart of meterd takes; then a restart
// delays events and fails none.
//
// After a batch that was given up a lane asks only now and then (jittered, up to probeEveryMax), each time once, and
// fails what comes between at once, so that a dead meterd costs a message nothing but its verdict.
//
// # Several nodes
//
//	URL "http://n1:8480,http://n2:8480,http://n3:8480"
//	n2 ─ no answer, none within 3 s, or 503 ─► n3 ─ … ─► n1 ─ pause ─► n2 ─ … ─► the first answer, counted once
//	 └ GET /v1/cluster ─► the owner of this token's cell, asked directly; when it fails: n2 again
//
// Options.URL takes the addresses of a cluster's nodes. Any of them takes any batch, and a batch that is sent again
// through another one gets the first answer. So a client asks one node and leaves it for the next one when it fails;
// what it sends is the same. Each node is tried once before there is a pause, and meterd's Retry-After counts then.
// Which one is the first is drawn from the producer's name.
//
// One node's 503 on a stream may be about one cell of several, for which the next node has no other answer. So the
// stream is left after two refusals without an answer between them, or four of one batch. What is on it is still
// answered. Commands follow to the next node, and go on behind the last one: what a place looks like is meterd's
// affair.
//
// The map is asked for at the start, after each failure and every 10 s while it names no owner. If it has one cell, or
// says which one this token's account is in, and names an address of its owner that answers from here, everything goes
// there: that saves a hop. An old or wrong map costs a try or a hop. With one address no map is asked for.
//
// A token that is bound to no account is served by any node of a cluster of several cells, one hop further: the map
// does not say which cell has a product.
//
// A cell whose owner died has another one within 15 s: Timeout is 25 s by default where there are several addresses.
//
// # Sequences
//
// Before its first batch a client asks meterd for the producer's last sequence, and goes on above it by a gap that is
// drawn at random. What a gateway of that name had on its way when it was killed lies in the gap, and cannot be taken
// for a batch of the new one. While meterd does not answer that question nothing is sent, and the policies below hold,
// as for any event.
//
// meterd remembers the last 256 sequences of a producer. No batch is sent that would be further than sequenceWindow
// behind one without an answer: one lane that is stuck holds the others, for Timeout at most, and what is sent again is
// never forgotten.
//
// Two gateways with one name are a mistake that is noticed. Their ranges of sequences do not meet, so that neither gets
// the other's answers; and as soon as meterd has forgotten the lower range for the higher one it says sequence_too_old,
// whose batch then fails with ErrProducerShared (failing open: is reported later, with another sequence).
// Options.ProducerShared is told, and the client goes on above the other. sequence_reused, from a client that is not
// this one and drew no gap, does the same. A batch that was in doubt before is Ambiguous after too old; after reused it
// was not counted.
//
// # When meterd cannot be asked
//
// FailClosed returns an *UnavailableError. Ambiguous ones are not asked about again: that could count what a device was
// refused. FailOpen lets the event pass with Verdict.Unasked set, and keeps its type, size, time and id, without topic
// and payload. The lane reports what it keeps before anything else, in order, when meterd is back. What meterd then
// says is given to Options.Reported. A batch in doubt is kept whole, and sent again with its sequence before that, for
// as long as it takes: so what passed is counted once in the end, whether it was asked about or not.
//
// LastKnown is between the two: what meterd last said about a device and kind of event holds, until a quota's window
// ends. What passes is reported as with FailOpen. What does not pass, but was sent in a batch that is in doubt with
// events that do, is Ambiguous: that batch is sent again whole.
//
// A disconnect cannot be denied, so it is kept and reported under any policy. It and connect count nothing when
// repeated (R1, R3); those are reported with a new sequence even after doubt.
//
// What finds no room in the queue is decided by the policy, too, with what waits in its lane: so nothing is overtaken.
// So is what comes after a long outage, as long as its lane has more than backlogMax batches to report before it.
//
// # The spool
//
//	lane ─ passed unasked, in doubt ─► package spool ─ memory: gone with the process, bounded by UnaskedEventsMax
//	                                                 └ Options.Spool: files, synced before the caller is told
//	start ─► what is left ─ the same bytes, the same sequences ─► meterd ─► Offline, the first batch, …
//
// Without Options.Spool a gateway that is killed in an outage takes along what passed unasked, and of its batches in
// doubt nobody will know. With it both are on disk before Wait returns, and the next client of that producer reports
// them before anything else that it says: batches in doubt with the sequences that they had. Offline waits for that,
// too, because what was left is older. So everything that passed is counted once, however often the gateway is killed.
// What was not answered when it was killed, and had not passed yet, may have been counted, and its caller was told
// nothing.
//
// The directory is bounded: beyond Spool.BytesMax, and when it cannot be written, what the policy would let pass fails
// with an *UnavailableError instead, and nothing of it is counted. While meterd answers nothing is written. A directory
// belongs to one process and one producer. Damaged files are set aside and told to Options.SpoolFault; what was in them
// is not reported.
//
// A batch in doubt must be sent again while meterd remembers its sequence: within 24 hours, and before 256 other
// batches of that producer from elsewhere. Later it is Ambiguous in Stats, and not counted twice.
//
// Close sends what waits and reports what is owed. Without a spool it says how much it could not report and of how much
// nobody knows.
//
// # Invariants
//
//   - accepted + denied of an answer = events sent, or the answer is treated as none.
//   - The bytes of a sequence never change, and no two batches have the same.
//   - What is sent again is among the last 256 sequences of its producer.
//   - A denial code that this version does not know is a denial.
//   - A place in the stream of commands is kept only after what lies before it was received.
//   - What passes unasked is on disk before its caller is told, if there is a spool.
//   - Every Pending is resolved exactly once: answered, failed or given up.
//   - Nothing that was handed in is referred to afterwards but its strings: a payload's memory is the caller's again.
package client
