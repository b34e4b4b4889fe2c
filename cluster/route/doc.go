// Package route lets any node of a cluster take any request: it finds the cells that the request concerns, forwards it
// to their owners over HTTP, and hands back what they answer.
//
//	client ──► node's server ──► Router ─┬─► /livez, /readyz, /metrics, /openapi.json, /docs    answered here
//	                                     └─► cell ──► owner, by the board ──► link ──► the owner's own server
//	                                                                          │
//	                              answer ◄── header, then body as it comes ◄──┘
//
// An owner's server is that of a daemon alone, so an answer is the owner's byte for byte, and nothing here knows what
// a call means.
//
// Invariants:
//
//   - 503 says that no owner had the whole request: nothing of it was done. A request that an owner had whole, and that
//     may change something, is answered by that owner, or its connection is closed without an answer. One that only
//     reads is tried again at the new owner.
//   - A body is never held: it is copied as it comes, in both directions, and whoever is slow holds up only itself.
//   - A body that was cut short arrives cut short: its end is forwarded when it was read.
//   - What a client sends as Meterd-Hop and Meterd-Client is removed. An owner believes the client's address because
//     the request carries the key that only nodes have.
//   - A node is called by the certificate that it told on the board, whatever name is in it.
//   - A request waits for waitMax in all before an owner has it, however often it is tried.
//   - A link that waits for a node which owns the cell no more is closed, and one to a node that nobody hears, soon.
package route
