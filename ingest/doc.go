// Package ingest is the gateways' door: it reads batches of events over HTTP, has them decided, and answers.
//
//	connection ──► route ──► authenticate ──► admission ──► inflate ──► decode ──► engine.Submit ──► answer
//	                 │          (401, 403)      (503)        (413, 415)   (400)      (durable)
//	                 └──► everything that is no gateway's goes to the handler of the people's door
//
// Invariants:
//
//   - A request is refused whole, and then nothing of it was counted, or every event of it has a verdict and all of it is durable.
//   - A request without a valid token is answered late, its body unread; one with a valid token never waits.
//   - Memory is bounded before it is used: what a request may need is taken from one budget of bytes first, and a request that
//     finds none is answered 503 and not read.
//   - Bodies are read while they come, so a slow client holds its own buffer and a read deadline, nothing else.
//   - Memory is kept for the next request; nothing of a request is looked at after its answer was made.
package ingest
