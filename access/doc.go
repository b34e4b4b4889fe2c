// Package access decides whether a call is allowed: tokens, their roles and rights, and the penalties for wrong ones.
// It keeps nothing: tokens stand in the catalogue of package license.
//
//	Authorization: Bearer SECRET ──► Authorize ──► Authenticator: the token whose hash this is
//	                                    │ right        │ none, or it has expired
//	                                    ▼              ▼
//	                               the token       401, held back by Penalties; 403 if the role lacks the right
//
// Invariants:
//
//   - A secret is nowhere but with its owner: it is 256 random bits, of which the SHA-256 is kept.
//   - A token that is bound to an account never administers.
//   - A request with a right token never waits because others have wrong ones.
package access
