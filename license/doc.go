// Package license says how much of the platform each customer may use: accounts, products, plans, lots, top-up packs,
// gifts and tokens. It decides nothing about single messages; it says what is allowed and hands licences and units out.
//
//	administration ──► Catalogue.CreateAccount, ApplyCredit, … ──► (next Catalogue, Change)
//	     │                                                            │         │
//	     │ the engine calls them while a group is sealed, with        │         └──► Append ──► the group in the log
//	     │ nobody deciding, one after the other, each on what         ▼                            │
//	     │ the one before it made                      holds from the next group on                │
//	     │                                                            ▲                            ▼
//	     └─ a checkpoint: Records ──► Loader ──► Catalogue ──► Apply ─┴──────────────── DecodeChange
//
//	connect, ota ──► AccountState.Lock ──► TakeLicense / TakePacks ──► totals after, into the event's record
//
// Invariants:
//
//   - A Catalogue never changes after it was built. A goroutine that loaded one sees one consistent plan for every
//     device, so an upgrade is uniform (R9). What does change (drawn licences, the running day) hangs off it in
//     AccountState, ProductState and Pool, which all versions of a catalogue share.
//
//   - A change copies what it touches and shares the rest (package persist). Among 100,000 products it takes some 30
//     µs, for nobody decides meanwhile.
//
//   - A change is made to the newest catalogue only, and written to its pools at once: it is recorded in the group that
//     is being sealed, and if that group does not become durable the process ends.
//
//   - A pool's four totals only grow, so recovery joins them by maximum. What was drawn and not returned never exceeds
//     what was credited and not taken back, under the account's lock (R4): nothing is taken for a moment and put back.
//
//   - A record says what an object is, never what was done to it. Suspending an account is a flag and a sweep: what its
//     devices become is written about each of them.
//
//   - A token's secret is nowhere but with its owner: records hold its hash.
//
//   - Ordinals of accounts, products and pools are given once and never reused: records on disk carry them.
//
//   - In a cluster with several cells, cell 0's catalogue says which names objects of other cells have. A name is
//     reserved under a number, and only SettleName gives it or frees it. A cell that has refused a number makes and
//     deletes nothing under it or an older one, whenever it comes. A catalogue that is alone has none of these records.
//
//   - Tokens and webhooks without an account are cell 0's; Mirror makes them those of another cell, never from an older
//     truth than the last one.
//
// The package keeps no files. Records and changes are drawn in FORMAT.md.
package license
