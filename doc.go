// Package meterd is the root and holds no code: its tests are the house rules that no linter knows, and each failure is
// a sentence that says what to do.
//
//	cmd ─┬► ingest, console ──► shard ─┬► counters
//	     │                             ├► license ──► event
//	     │                             └► retention
//	     ├► usage ──► shard/views, license, counters, retention/ledger
//	     └► bench ──► client ──► event
//
// Invariants. golangci-lint holds the first two (.golangci.yml), the tests here the others:
//
//   - No import points up; network, disk, environment, flags and exit are touched only in the packages that have such a
//     door.
//   - No init, no mutable globals, no overlong files and functions; what is exported is documented.
//   - Every package says in its doc.go what it promises, and every decoder has a fuzz target beside it.
//   - Texts cite rules and files that exist, and the repository holds only text.
package meterd
