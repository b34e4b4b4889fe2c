// Package purge keeps a cell's stream short: its owner removes what every copy has in its segments, and sees to it that
// what was erased leaves the files of NATS, in which purged messages stay as long as anything in the file is needed.
//
//	first message                                                    last message
//	    │                                                                 │
//	    ├── behind the slowest copy: removed ──┤─ slowest ── fast ── owner ┤
//	    │
//	    └── beyond half of MaxBytes: removed behind the fastest two; whoever is slower is left behind, and told so
//	        beyond three quarters: the cell takes no events until there is room
//
//	erased … │ filling: as much as the files that begin before it can take │ barrier, barrier, …
//	─────────┴───────────────── removed when every copy is beyond it ──────┴─► the files are gone
//
// Invariants:
//
//   - A message goes only when the owner and another copy have what it says in their segments, if there is another
//     node.
//   - A stream that is full takes no epoch either, so nobody could own the cell and make room. Then a standby does, by
//     the same rule.
//   - The last message stays, and the one that the slowest copy has read last.
//   - What was erased is said to be out of the files when all behind it is purged, and every replica has been up to
//     date for some time since. Nodes tell each other and note it, so that the next owner knows; if nobody does, it is
//     done again.
//   - Before as many copies as the stream has replicas were heard of, nothing goes for their sake: they are new, and
//     begin with the first message.
package purge
