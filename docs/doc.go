// Package docs holds the description of the HTTP of meterd as OpenAPI, which the daemon serves at /openapi.json. It is
// written once, in openapi.yaml.
//
//	openapi.yaml ──► OpenAPI: the same as JSON ──► console ──► /openapi.json
//	                              │
//	                              └──► docs/contract: tests compare real requests and answers with it
//	page.html, page.css, redoc ──► PageFile ──► console ──► /docs: the same for people
//
// Invariants:
//
//   - Every call of the daemon is in it, and it has no other: tests of ingest and console compare it with their routes.
//   - Each call has an example, and so has each code of an error.
//   - docs/redoc is as it was published, and the page takes nothing from other hosts.
//   - What was answered with success was asked as it says, and every answer is as it says: the tests of console and of
//     cmd/meterd check each of theirs, and take no member that it does not name.
package docs
