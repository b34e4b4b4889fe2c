// Package claims remembers who sends events and what was answered to them, so that a request that is sent again gets
// its first answer and counts nothing.
//
//	request ── Find, Bind ──► Producer ── Begin ──┬── mine ──────► decided inside the gate ──► Decide ──┐
//	            name → ordinal                    │                 GiveUp when it is refused whole     ├─► Settle
//	                                              └── was decided ─► its group, and its answer ─────────┘
//
// A producer's sequences lie in a ring, sorted: the hash of the body, the time, and the answer if it is short. An
// answer that is too long for that is kept whole until the ledger has it (Passed), and read from there afterwards.
//
// What is remembered of a sequence may be a note instead of an answer (Note): no event was decided then. Producers with
// notes are apart from those of clients, under the same names.
//
// A name has an ordinal, which is the holder in the words of the devices that it connects. The producer of an account
// that was idle for longest, and for a day, makes room when there are too many; one is deleted on request. Its ordinal
// is nobody's then, and is given anew only when no device has it any more (sweep.go).
//
// Invariants:
//
//   - A sequence is decided once. Who sends it meanwhile waits; who sends it later is given the first answer.
//   - The claim is a record in the group of its events: effect and memory of it are one write.
//   - Remembering is state: everything comes back from checkpoint and log. The ledger is only asked for an answer
//     that it is known to have.
//   - An ordinal belongs to one name at a time. Recovery may apply records twice and beside a newer checkpoint.
//   - Memory is bounded over all accounts (budget.go, longanswers.go): what is refused at a bound was not decided.
package claims
