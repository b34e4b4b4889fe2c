// Package client is the Go SDK of gateways: it asks meterd about events and hands back verdicts. It also has what a program needs
// that administers meterd.
//
//	Do, Submit ─► lane (by device) ─ gather ≤ MaxDelay ─► batch ─ POST /v1/events ─► verdicts ─► Wait
//	              one batch in flight                     immutable body              │
//	              owed: what passed unasked ◄──────────── not answered ◄──────────────┘
//
// # Batches
//
// Concurrent events are gathered into NDJSON batches. An event that finds no request of this client in flight goes at
// once, because there is nobody to travel with; otherwise it waits for company, at most MaxDelay or until the batch is full.
// A batch is encoded once and never changed, so that the same bytes can be sent again.
//
// # Order
//
// The server decides a batch in order, but not two batches that are in flight together. So every device belongs to one of
// InFlightMax lanes (by a hash of its name), a lane has at most one batch in flight, and events of a device are decided in
// the order of their Submit calls. Lanes were chosen over a single batch in flight because one slow answer then
// delays 1/InFlightMax of the devices, and because the server's log needs several requests to fill a group.
//
// # Commands
//
//	Commands ◄─ one at a time ─ event: disconnect, refresh ◄─ GET /v1/commands?producer=…  (server-sent events, Last-Event-ID)
//
// A gateway that has devices hears through Commands which of them to put offline (R3, R19, R20), and for which products to forget the denials that it
// remembers. The stream is opened again from where it broke off, so no command is missed; one may come twice.
//
// # Administration
//
// Admin is the other half of the API for programs: it makes single calls, follows the pages of a list, and reads a log as it
// is streamed. It knows the contract's conventions (problems, pages, escaping of names) and none of its calls.
//
// # Bounds
//
// Waiting events are bounded in number and bytes: beyond that Submit fails at once with ErrOverloaded. In flight is at most one
// batch a lane. Timeout bounds the wait for a turn, and again the asking; the two together bound Do.
//
// # What fails, and what is sent again
//
//   - 503 says that nothing was counted: the same body is sent again after a jittered pause, until Timeout.
//   - No connection was made, or another 3xx or 4xx: nothing was counted. The events fail; they are not sent again.
//   - The connection broke or the time ran out after the request went out, or a 5xx of something in between: nobody knows
//     whether it was counted. Such a batch is not sent again, since that could count a message twice; the error says
//     Ambiguous. connect and disconnect count nothing when repeated (R1, R3), so those, once owed, are repeated.
//
// After two failures in a row a lane asks only now and then (jittered, up to probeEveryMax) and fails what comes between
// at once, so that a dead meterd costs a message nothing but its verdict.
//
// # When meterd cannot be asked
//
// FailClosed returns an *UnavailableError. FailOpen lets the event pass with Verdict.Unasked set, and keeps its type, size,
// time and id, without topic and payload, in a bounded tally: the lane reports it before any later event of that device, or by itself
// when meterd is back. What meterd then says is given to Options.Reported. What the tally has no room for, and what was
// asked about without an answer, is counted in Stats and not reported. A disconnect cannot be denied, so it is kept and
// reported under either policy.
//
// # Invariants
//
//   - accepted + denied of an answer = events sent, or the answer is treated as none.
//   - A denial code that this version does not know is a denial.
//   - A place in the stream of commands is kept only after what lies before it was handled.
//   - Every Pending is resolved exactly once: answered, failed or given up.
//   - Nothing that was handed to Submit is referred to afterwards but its strings: a payload's memory is the caller's again.
package client
