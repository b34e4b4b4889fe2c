// Package testport finds ports for servers that a test starts, ends and starts again.
//
//	Free ─► a socket that is bound and never listens ─► HOST:PORT ─► the server listens there, as often as it likes
//	            └─ until the test ends, so that nobody else is given the port meanwhile
package testport
