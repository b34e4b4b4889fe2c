// Package cells has any node answer gateways whose requests concern several cells, exactly as one node alone would.
//
//	gateway ──► ingest.Handler ──► Engine: it is one to ingest, and asks others            the cells' owners
//	                                 │
//	   events    which cells? ───────┼─► one ─────────────────────────── whole batch ─────► Door ──► shard.Engine
//	                                 │                                                      ▲ ▲
//	                                 ├─► several, or an unknown product ─► home: Remember ──┘ │
//	                                 │      ▲                               note: index→cell  │
//	                                 │      └─ Names: cell 0 ◄── unknown names                │
//	                                 │                  each part under (producer, sequence) ─┘
//	                                 ▼
//	                              answers put together by index
//
//	   commands  one long poll a cell says that there is something new; whoever listens asks the cells that have it
//
// Everything that API.md says about bodies, headers, streams, credits and answers is package ingest's, on both sides of
// a hop: an Engine here decides nothing and reads no body. What it asks the owners for (FORMAT.md) is exact: a part
// carries its events as they were decoded, and a result is one as it is remembered, so an answer is made from the same
// values as on one node, byte for byte.
//
// # One sequence, one answer
//
// The way of a batch with a sequence depends on its body, and on which of its products are known. What is known may
// change between two tries, so:
//
//   - A batch whose products are all in one cell goes there whole, under its own producer, sequence and hash: as it
//     would if its gateway sent it there itself. Products never change their cell.
//   - Any other goes to the *home* of its producer, a cell that the producer's name alone chooses. The home notes which
//     event goes where, or that its product is unknown (shard.Engine.Remember), and hands out the first note for ever.
//     Parts follow the note. A part's hash is made of body and note: it is the same part or none.
//   - Before *unknown* is noted, the owner of cell 0 is asked. It remembers, in memory, whom it told that a name is
//     unknown (Names). A product that is younger than a day, and whose name it may have told, goes by home although it
//     is in one cell: there the first try was noted. A new owner of cell 0 does not know what was told before: for a
//     day it answers *perhaps*, which costs a note and nothing else. That it was not told is true for ever, for the
//     product exists; so that answer is kept.
//
// All cells could be asked when a product is created. Asking the one that answers *unknown* needs no record and no
// second list, for nobody notes unknown without it.
//
// # What is refused, and when a connection is closed
//
//   - A problem says that this try counted nothing: no part was sent, or each was refused.
//   - If one part was decided, and another was not but may be, or if it is not known, the connection is closed without
//     an answer. The retry asks all parts again; those that were decided answer what they answered.
//   - If a part can never be decided (409, 422: its cell has seen the sequence with something else, or lets go of it),
//     that is the answer, although others may have been. Only a gateway that uses a sequence twice, or one that sends
//     what it gave up hundreds of sequences ago, gets there.
//
// # Invariants
//
//   - Batches of one stream are decided in their order in each cell (line.go): a part is asked for when the parts
//     before it were asked for in the same call or answered. No device is in two cells, so no order of devices is lost.
//   - A listener has a place in each cell's stream of commands, and an id of an event says all of them. A place goes
//     on only by what the cell's owner has handed out. What a cell without an owner has to say comes later.
//   - Nothing of a token is trusted that comes with a call: the cell looks its name and hash up, in its gate.
//   - Only who has the key of the nodes may ask (Door). Decoders of calls trust nothing, not even that.
package cells
