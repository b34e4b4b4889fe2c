// Package ingest is the gateways' door: it reads batches of events over HTTP, has them decided, and answers.
//
//	connection ──► loop ──► plain? ──► authorized? ──► admission ──► decode ──► engine.Decide ──► all that came? ──► durable ──► engine.Settle ──► answer
//	                          │no         │no          (503)         (400)                         (engine.Watch)
//	                          ▼           ▼
//	               fasthttp ──► route ──► authenticate ──► admission ──► inflate ──► decode ──► engine.Submit ──► answer
//	                             │         (401, 403)       (503)        (413, 415)   (400)      (durable)
//	                             └──► everything that is no gateway's goes to the handler of the people's door
//
// There are two ways to the same answer. A plain request (plain.go) is all that a gateway with single events sends: it
// is small, it is POST /v1/events, and nothing in its header needs HTTP's finer points. Few goroutines, the loops
// (loop.go), read, decide and answer those of thousands of connections. With the first request that is not plain, or
// has no valid token, its connection and what was read of it go to fasthttp for good: one goroutine a connection, every
// body and every encoding, late answers to wrong tokens. The loops know no answer of their own: both ways fill a call
// (events.go) and write what it says.
//
// Invariants:
//
//   - A request is refused whole, and then nothing of it was counted, or every event of it has a verdict and all of it
//     is durable.
//   - A request without a valid token is answered late, its body unread; one with a valid token never waits.
//   - Memory is bounded before it is used: what a request may need is taken from one budget of bytes first, and a
//     request that finds none is answered 503 and not read.
//   - Bodies are read while they come, so a slow client holds its own buffer and a read deadline, nothing else.
//   - Memory is kept for the next request; nothing of a request is looked at after its answer was made.
package ingest
