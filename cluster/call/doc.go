// Package call lets a node of a cluster ask the owner of a cell something small, and wait for the answer. What is
// large, and whatever a client has sent, goes over HTTP.
//
//	node n1                      NATS                         owner of cell 3
//	Do(cell 3, method, request) ──► meterd.call.CLUSTER.3 ──► Server: method(request)
//	   ▲                                                        │ what it read or changed is durable, behind a barrier
//	   └───────────── answer, or a problem of the contract ◄────┘ (the method sees to that)
//
// Invariants:
//
//   - Nothing is answered by a node that no longer owns the cell: its method ends with an error of the engine, and such
//     errors are not answered. The caller asks again, and another node hears it.
//   - A request may be heard by two nodes, or be answered and the answer lost. So a method that Again asks for may run
//     any number of times.
//   - Problems keep their code, field and detail.
//
// A request is a JSON object, {"version":1,"method":"reserve","body":{…}}, and so is an answer, which has a body or
// {"version":1,"problem":{"code":37,"field":"account","detail":"…"}}. Codes are the numbers of package event. Other
// versions are not answered, and what an answer of another version says is not believed.
package call
