// Package license knows who may use the platform and how much of it: accounts, products, plans, lots, top-up packs,
// gifts and tokens. It decides nothing about single messages; it says what is allowed and hands licences and units out.
//
//	administration ──► Catalogue.CreateAccount, CreditLot, … ──► (next Catalogue, Change)
//	                        │ pure: nothing happens yet             │
//	                        ▼                                       ▼
//	        engine swaps it in between two groups        control records + audit entry, one synced transaction
//
//	connect, ota ──► AccountState.Lock ──► TakeLicense / TakePacks ──► totals after, into the event's record
//
// Invariants:
//
//   - A Catalogue never changes after it was built. Whoever loaded one sees one consistent plan for every device, which
//     is what makes an upgrade uniform (R9). What does change (drawn licences, the running day) hangs off it in
//     AccountState, ProductState and PoolState, which all versions of a catalogue share.
//   - A pool's drawn and returned totals only grow, so recovery joins them by maximum. drawn − returned never exceeds
//     the quantity, under the account's lock (R4): nothing is taken for a moment and put back.
//   - A token's secret is nowhere but with its owner: the catalogue and the ledger hold its hash. Nothing is ever
//     removed from the ledger; a deleted token's record is written over with one that says so.
//   - Ordinals of accounts, products and pools are given once and never reused: records on disk carry them.
//
// The package keeps no files: Change.Puts are the key-value pairs that whoever keeps the ledger stores, and Load builds
// the catalogue from them again. The keys are drawn in FORMAT.md.
package license
