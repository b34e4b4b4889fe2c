// Package forget removes from a cluster what does not come back: a server of NATS whose disk was emptied, or a node
// with its server.
//
//	forget n3 ─► look: all servers, each stream ─► is the dead server the only one that is not well,
//	                                                  │          or has no stream replicas on two? ── no: refused
//	                                                  │ yes
//	   every node writes down who was forgotten ◄─────┤     it is refused if it comes back
//	   $JS.API.SERVER.REMOVE ◄────────────────────────┤     a majority of the servers that are left records it
//	   every node writes down that it is removed ◄────┤
//	   every stream has its replicas again ◄──────────┘     NATS copies what a new replica lacks, and then counts it
//
// A dead server counts in each majority that it is one of, so one more failure stops everything. But a change of
// members is what acknowledged messages get lost by if it is done at a bad moment. Therefore:
//
// Invariants:
//
//   - A server is removed only while it is offline and every other server, and every other replica of every stream, is
//     online and has all that its leader has. So those that are left have all that was ever acknowledged.
//   - If further servers are dead, a majority of all is well, and no stream has replicas on two of the dead: each that
//     loses one has its others well, and all of the dead together are a majority of nothing.
//   - One server at a time: the next one is refused until all streams have their replicas again.
//   - The node that it belonged to is silent, or is heard under another server.
//   - Every other node that is heard has written down who is forgotten before anything is removed. One that is not
//     learns it when it is back.
//   - What failed half-way can be done again, through any node: what is written down says whose the server was.
//   - What was acknowledged by a cell's stream once stays known: nothing here lets a shorter one be owned.
package forget
