// Package member makes a node a member of a cell: it has a copy of the cell that follows the owner, and owns the cell
// when the owner is silent or hands it over.
//
//	            ┌──────────────── Drop ◄──────── fenced, unsettled, yielded ───────┐
//	            ▼                                                                  │
//	Open ─► standby: follow ─► silence, or a yield to this node ─► Claim ─► Own ─► owner
//	            │                                                                  │
//	            ├─ refused: shorter, newer, the stream is damaged ─► Drop, wait    ├─ SIGTERM: Rest, Yield, Drop
//	            ├─ left behind, the copy is damaged ─► Drop, Reseed ─► Open        ├─ the copy is damaged: Yield, Reseed
//	            └─ SIGTERM: Close                                                  └─ SIGTERM, no successor: Close
//
// The Host drives; the Cell is what this node has of the cell: files, state, doors. The stream decides who owns it
// (package jetlog): everything here is about when to try, and what to do with the outcome.
//
// Promises:
//
//   - A node that is deposed drops the cell's whole state and follows again, in the same process. It answers nothing
//     that was not proved before.
//   - A cell is handed over in less than a second: the owner lets go when its successor has all but its last groups.
//   - A copy that goes bad while it is open is made anew from the owner's; an owner goes on deciding until a standby
//     that is in order has the cell. No fault moves a cell, or has a copy made anew, twice within minutes (mend.go).
//   - Run returns an error only for what ends a node alone, too: a disk that cannot be written.
//
// Invariants:
//
//   - Run's goroutine calls every method of a Cell but Follow, which has a goroutine of its own. Follow has returned
//     before Own, Drop or Close is called.
//   - Whoever asks others (Successor, Move) asks by core NATS. Nothing that is answered there decides who owns a cell.
package member
