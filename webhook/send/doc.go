// Package send posts one signed message to a URL that somebody else has named, and says what came of it. It follows the
// specification Standard Webhooks 1.0 (standardwebhooks.com), so that receivers check signatures with a library.
//
//	URL ──► resolve ──► addresses ──Control──► connect ──► TLS ──► POST ──► status ──► Outcome
//	                        │                                         │
//	                        └─ refused: not of the public internet    ├─ redirect: not followed, a failure
//	                                                                  └─ body: a bounded part is read and thrown away
//
// Invariants:
//
//   - An address is looked at when the connection to it is made, after the name was resolved. So a name that resolves
//     to another address each time (DNS rebinding) reaches nothing inside, and neither does a literal address.
//   - Certificates are verified. A proxy of the environment is not used: it would be asked for any address.
//   - Nothing of an answer but its status, and how long to wait, goes further: who may name a URL must not read by it.
//   - A call ends within timeout, whatever the other side does.
package send
