package spool

import "github.com/meterd/meterd/event"

// Every bound of the spool, each with the reason for its size.
const (
	// fileBytesMax bounds what is read of a file: events and seal of the largest batch, twice for those that were sealed
	// anew. What is longer was not written by this package.
	fileBytesMax = 4 * event.BodyBytesMax
	// holderBytesMax bounds what is read of LOCK to say who holds it: a process id.
	holderBytesMax = 32
)
