// Package persist holds tables whose versions share memory: a change copies what it touches and nothing else, and
// readers of an older version see it unchanged.
//
//	version 7   Map ──► directory ──► table table table table
//	                                    ▲     ▲           ▲
//	version 8   Map ──► directory ──────┘     │   table   │       one name was set: a directory and a table are new
//	                         └────────────────┴───┘───────┘
//
// A version is copied by assignment. Every write names the version it belongs to, by a number: memory that was made
// under this number is written to in place, any other is copied first. So a change of many names copies each table
// once, and a table that is filled for the first time is filled in place.
//
// Invariants:
//
//   - Numbers rise from version to version. A version that others may read is never written to under its own number
//     again.
//   - Reading never allocates, waits or writes. Any number of goroutines may read one version.
package persist
