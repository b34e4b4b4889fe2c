// Package names gives names of accounts, products, tokens and webhooks to objects of many cells, once each, and keeps
// what belongs to no account the same in all cells.
//
//	client ─► Directory on the node that got the call          cell 0's owner             owner of cell c
//	            │ 1. the request, with no reservation ────────────────────────────────► rights, body, plan: all is as
//	            │    ◄── refused: that is the answer ─────────────────────────────────  on one node, and nothing is done
//	            │    ◄── in order, but "product p1" must be reserved ─────────────────
//	            │ 2. reserve(product, p1, c) ──────────► record: open, number r
//	            │    ◄── taken: 409 ───────────────────
//	            │ 3. the same request, under r ───────────────────────────────────────► record: the product
//	            │ 4. settle(r, is there) ──────────────► record: given, or free
//	            ▼
//	          answer of 3
//
// The request is answered by the code that answers on one node, so validation, audit log and answers are the same. What
// is created in cell 0 itself takes one record: its catalogue has the name.
//
// Deleting what is bound to an account is the same: the name is reserved again, under another number, and freed if the
// cell says that the object is gone.
//
// # Who dies between
//
// What is left is a name that is open. Cell 0's owner, whoever it is by then, settles what is open for longer than
// resumeAfter: it has the cell refuse r for ever and say whether the object is there. So a creation that was on its way
// for long cannot come after its name was given to somebody else. A cell refuses by a mark: whatever comes under r or
// an older reservation. Others that are refused with it are told 503, and come again under a newer one.
//
// # Without an account
//
// Tokens and webhooks that are bound to no account are cell 0's. The owner of each other cell follows its node's own
// copy of cell 0 and applies the difference (license.Catalogue.Mirror). Whoever changed one is answered when all cells
// have recorded it: a token that was deleted decides nothing after the answer. Copies may be of any age: one that is
// older than what was taken over last changes nothing.
//
// Promises:
//
//   - A name is given once. What was answered 201 is there, what was answered with a refusal is not.
//   - Find is as new as its call: a name that it says nobody has was nobody's at a moment after the call.
//   - Nobody reserves a name whose request would be refused anyway.
//
// Invariants:
//
//   - A reservation is ended by what its cell says about the object: that it did what was asked for, or, asked again,
//     whether the object is there. That a request was refused does not say that nothing is there.
//   - A request is sent under a reservation once. If the outcome is unknown the cell refuses the reservation before it
//     is asked whether the object is there.
//   - Only what is durable in cell 0 is taken over by others: an owner's own catalogue may be ahead of its log.
package names
