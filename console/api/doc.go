// Package api is HTTP for people: administration, devices, their licences and their log, sealed snapshots of usage,
// and the daemon's health, metrics and OpenAPI description, with the page /docs.
//
//	request ──► router ──► token and right ──► path, query, body ──► Engine, Queries ──► answer
//	             (404, 405)    (401, 403)       (400, 404, 413, 415)    │       │
//	                                                                    │       └── View, Licenses, logs, Audit:
//	                                                                    │           what is durable
//	                                                                    └── Administer: decided at the next seal
//
// Invariants:
//
//   - A request without a valid token is answered late, the later the more there were; one with a valid token never
//     waits.
//   - A token that is bound to an account meets nothing else: what belongs to others answers exactly as what does not
//     exist.
//   - A body is one JSON object, read within a bound, and every member of it is known, given once and of its kind, or
//     the request is refused naming the member; then nothing was changed.
//   - What an answer says was durable before it left: numbers are read in Queries.View, and an answer waits until the
//     catalogue that it was read from is durable.
//   - Nothing is read in one piece whose size others decide: devices are met in steps, lists have pages.
//   - A log is read a page at a time: what one scan finds is gathered, the scan returns, and only then is it written.
//     So a slow client holds its page and its goroutine, and nothing of the log; when it has gone, its scan ends.
//   - All of a product's log is sorted first. A slow client holds what was sorted, so few can be at once.
//   - A log is followed by two goroutines, one that reads and one that writes, with a bounded mailbox between them. The
//     token is looked at each second and before whatever is sent.
//   - A code to sign in with, and the ticket of a download, is good once and for minutes. Only its hash is kept, in
//     memory; who guesses one is answered as late as who guesses tokens.
//   - A sealed file is sent from the disk in pieces, and never lies in memory.
package api
