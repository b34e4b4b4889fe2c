// Package contract compares real requests and answers with docs/openapi.yaml. Only tests use it.
//
//	docs.OpenAPI ──► closed: no members but those that are named ──► kin-openapi: routes, parameters, headers, statuses
//	                                                                └─► JSON Schema 2020-12, compiled once: bodies
//	a test's request, the daemon's answer ──► Check ──► error, or nil
//
// Invariants:
//
//   - An answer is always compared: its status, headers, media type and body.
//   - A request is compared if it was answered with success: what is refused need not be as the document says.
//   - A Checker is safe for concurrent use.
package contract
