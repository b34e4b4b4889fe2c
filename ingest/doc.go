// Package ingest is the gateways' door: it accepts connections, reads batches of events over HTTP and from event
// streams, has the engine decide them, and answers. It also streams commands to gateways.
//
//	connection ──► loop ──► plain? ─► token? ─► admission ─► decode ─► Decide ─► Watch ─► durable ─► Settle ─► answer
//	                          │no       │no       (503)       (400)   └──────────── of the engine ────────┘
//	                          ▼         ▼
//	                       fasthttp ──► route ──► token ──► admission ──► inflate ──► decode ──► Submit ──► answer
//	                                      │    (401, 403)     (503)      (413, 415)    (400)   (durable)
//	                                      └──► every request that is not a gateway's: the console's handler
//
// POST /v1/check goes the way of fasthttp, to the engine's Check instead of Submit: its answer is that of the same
// events, which are not counted.
//
// There are two ways to the same answer.
//
// A plain request (plain.go) is what gateways with single events send: it is small, it is POST /v1/events, and its
// header has nothing that changes how HTTP is read. A few epoll loops (loop.go) read, decide and answer the plain
// requests of thousands of connections. They batch: requests that arrive together are stored as one group.
//
// At the first request of a connection that is not plain, or has no valid token, the loop gives the connection and the
// bytes that it has read to fasthttp, and never gets it back. fasthttp has a goroutine for each connection; it takes
// every body and every encoding, and delays the answers to wrong tokens.
//
// GET /v1/stream leaves fasthttp after the handshake and goes back to a loop (stream.go, streamloop.go), which decides
// what comes and answers it in order, in the groups of plain requests. A message that is long or has to wait is decided
// in a goroutine for it alone, and a goroutine reads the commands of the stream (streamtell.go). A loop has no TLS: two
// goroutines carry the bytes between it and such a stream (relay.go).
//
// Every stream to a client of HTTP/1.0, the console's too, is written by untilclose.go: such a client knows no chunks.
//
// All ways fill a call (events.go) and write the answer that it makes, so the answers are the same.
//
// # Who owns a connection
//
//   - dispatcher.go accepts it, within the limit of connlimit.go, and gives it to a loop, or to fasthttp while the
//     engine is recovering. With TLS every connection is fasthttp's.
//   - A loop owns its connections alone: only the loop's goroutine reads, writes and closes them (loopconn.go).
//   - fasthttp owns what it is given; connection.go is its view of a connection.
//   - The socket of an event stream is a loop's again: it leaves fasthttp and the runtime's poller for a descriptor of
//     its own (detach in relay.go). A stream with TLS is its relay's.
//
// # Invariants
//
//   - A request is refused as a whole, and then none of its events was counted, or each of its events has a verdict and
//     all of them are durable.
//   - A request without a valid token is answered late, and its body is not read; one with a valid token is never
//     delayed.
//   - A loop waits for no client, no memory and no long decision; only Decide may wait in it, for room in a group.
//   - Memory is charged before it is allocated: a request reserves what it may need from one budget of bytes, and is
//     answered 503, unread, if the budget has too little. A stream waits instead, unread, and is told to send less;
//     but not while it holds much of a message in fragments.
//   - What was answered and not taken yet has a budget of its own (unread.go).
//   - A body is decoded after it was read to its end, so a slow client holds its own buffer until its read deadline and
//     nothing else.
//   - Memory of a request is reused for the next one; nothing refers to it after its answer was written.
package ingest
