// Package meterd is the root of the house and holds no code: its tests are the rules of the house, and each failure is
// a sentence that says what to do.
//
//	cmd ──► ingest, console ──► usage ──► shard ──► counters
//	 │                                      ├─────► license ───┐
//	 │                                      └─────► retention ─┴─► event
//	 └────► bench ──► client ────────────────────────────────────► event
//
// Invariants, each held by a file of tests here:
//
//   - No import points up, and no top-level folder appears unannounced (house_arrows_test.go).
//   - Network, disk, environment, flags and exit are touched only in the rooms that have such a door
//     (house_doors_test.go).
//   - Every package says in its doc.go what it promises; no init, no mutable globals, no overlong files and functions,
//     a fuzz target beside every decoder (house_shape_test.go, house_state_test.go).
//   - Texts cite rules and files that exist, and the repository holds only text (house_text_test.go).
package meterd
