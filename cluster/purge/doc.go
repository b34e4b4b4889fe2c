// Package purge keeps a cell's stream short: its owner removes what every copy has in its segments.
//
//	first message                                                    last message
//	    │                                                                 │
//	    ├── behind the slowest copy: removed ──┤─ slowest ── fast ── owner ┤
//	    │
//	    └── beyond half of MaxBytes: removed behind the fastest two; whoever is slower is left behind, and told so
//	        beyond three quarters: the cell takes no events until there is room
//
// Invariants:
//
//   - A message goes only when the owner and another copy have what it says in their segments, if there is another
//     node.
//   - A stream that is full takes no epoch either, so nobody could own the cell and make room. Then a standby does, by
//     the same rule.
//   - The last message stays, and the one that the slowest copy has read last.
//   - Before as many copies as the stream has replicas were heard of, nothing goes for their sake: they are new, and
//     begin with the first message.
package purge
