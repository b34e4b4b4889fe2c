// Package counters is the device table: what meterd knows about every device that was ever active, one cache line each.
// It decides messages by one compare-and-swap and imports nothing of ours.
//
//	product, device ──KeyOf──► Key ──Find──► *Slot ──CountMessage──► the word after, the day it closed, yes or no
//	                             │              ▲
//	                             │     ┌────────┴──────────┬──────────┐
//	                             └────►│ shard 0           │ …  255   │  open addressing, 64 bytes
//	                                   └────────┬──────────┴──────────┘  a slot and a byte of tag
//	                                            │ w7 names the place
//	                                   ┌────────▼──────────┐
//	                                   │ arena of a shard  │            name, serial, activation, pool; append-only
//	                                   └───────────────────┘
//
// # Words
//
// A slot is eight words (FORMAT.md draws them). Of two values of a word the newer one is always the larger number, so
// the join of any two states is the maximum, word by word (Join): in any order, with any overlap, as often as one
// likes. Days, months and seconds count from 2020-01-01; days and months are calendar numbers of the product's time
// zone, which this package never sees. No field wraps: counts are refused or saturate at their edge, anything else out
// of its field panics.
//
// # The gate
//
// A *Slot points into a table that Grow replaces. So whatever takes or holds a *Slot (Find, FindBatch, SlotOf, Insert
// and the methods of Slot) runs inside the engine's gate, and Grow runs when nobody is inside. Within the gate all of
// it is safe for concurrent use. What needs no gate: KeyOf, Name, Grant, Walk (the arena never moves), AppendShard (it
// locks its shard against growth), Reserve, Len, ReadStats. LoadShard and BindAt belong to recovery: no gate, but one
// goroutine a shard, and nobody else holding slots.
//
// # Room
//
// An insert never grows a table. Room is promised beforehand: Reserve(n) before a batch with n possible inserts, and if
// it says no, Grow(n, …) between two groups and Reserve once more. See Grow for what the promise is worth. It includes
// memory for the names, of the greatest length: running out of memory is an error of Grow, never one of Insert.
//
// # Invariants
//
//   - A slot's tag is stored last, so a slot that can be found is complete (atomics.go argues it); a slot never moves
//     between two Grows, and is never emptied.
//   - A device's place in its shard's arena never changes: an Ordinal names a device for ever, in log records too.
//   - Words 2, 3, 6 and 7 change by compare-and-swap, by anybody. Words 4, 5 and the grant have one writer at a time:
//     the holder of the lock of the device's account.
//   - Free memory of a region is zero, and slabs begin and end with a huge page.
//   - A table's load is at most 0.90 after Grow had budget enough, and at most 0.94 within what is promised.
//
// # Budget
//
// On one of two virtual cores (Sapphire Rapids, huge pages): KeyOf 9 to 12 ns; FindBatch and CountMessage of a device
// among a million 43 ns, among ten million 60 ns, where a bare compare-and-swap on a random slot of the same table
// takes 34 and 41 ns: the budget is twice that. A Find for itself waits for both its cache misses: 80 and 145 ns with
// the count. None of them allocates. BenchmarkDecide measures these in one run. A device with a name of 12 bytes takes
// 106 to 110 bytes at any count from three million on, all of them resident and hardly more: blocks of one size leave
// no holes.
package counters
