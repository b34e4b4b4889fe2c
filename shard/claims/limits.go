package claims

import "time"

const (
	// keptMax is how many sequences of a producer are remembered: the 256 of the contract, and as many as may be in
	// flight.
	keptMax = 256 + inFlightMax
	// inFlightMax is how many requests of one producer may wait for their answers at once.
	inFlightMax = 64
	// KeptFor is how long a sequence is remembered at least.
	KeptFor = 24 * time.Hour
	// shortBytesMax holds the answer to a batch that was accepted whole: 10 or 11 bytes.
	shortBytesMax = 15
	// mediumBytesMax is the largest answer that is kept as long as its sequence: one single event with the numbers of
	// its quota, or two denials.
	mediumBytesMax = 55
	// longBytesMax bounds the long answers that the ledger does not have yet: 20 batches of 65,536 events whose denials
	// all differ, or a million batches of a few denials.
	longBytesMax = 64 << 20
	// longOverheadBytes is what a long answer takes beside its own bytes: entries in the queue and in its producer's map,
	// and what the allocator rounds up.
	longOverheadBytes = 160
	// answerBytesKept is how large the memory of a reused Ticket may be: 1300 denials that all differ.
	answerBytesKept = 64 << 10
	// OrdinalMax bounds the producers' ordinals: 20 bits of the device's word.
	OrdinalMax = 1<<20 - 1
)
