package claims

import (
	"time"

	"github.com/meterd/meterd/event"
)

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
	// AnswerBytesKept is the largest answer that memory keeps as long as its sequence: one single event with the numbers
	// of its quota, or two denials. Longer ones are the ledger's.
	AnswerBytesKept = 55
	// memoryBytesMax bounds what is remembered of all producers' sequences, their long answers apart: 30,000 producers
	// with keptMax short answers each, or 12,900 that only send single events or are always denied. At the bound requests
	// that need more are refused as overload; what they decide already may take some kilobytes more each.
	memoryBytesMax = 512 << 20
	// memoryEighthsNew is how full memory is when new producers are refused, so that there is room for those that are
	// there to remember their 256 sequences. The 10,000 of one account take 413 MB at worst.
	memoryEighthsNew = 7
	// reclaimEvery is how often memory is searched for producers that are idle for a day when there is none left: each
	// search looks at all producers.
	reclaimEvery = time.Minute
	// longBytesMax bounds the long answers that the ledger does not have yet: 20 batches of 65,536 events whose denials
	// all differ, or a million batches of a few denials.
	longBytesMax = 64 << 20
	// longOverheadBytes is what a long answer takes beside its own bytes: entries in the queue and in its producer's map,
	// and what the allocator rounds up.
	longOverheadBytes = 160
	// scratchBytesKept is how large the memory of a reused Ticket may be: 1300 denials that all differ.
	scratchBytesKept = 64 << 10

	// accountMax is how many producers an account may have; the unbound tokens are one account here.
	accountMax = event.ProducersPerAccountMax
	// idleMin is how long a producer must be idle before another one of its account may take its place.
	idleMin = 24 * time.Hour
	// notedEvery is how often the log is told that a producer is alive that sends no sequences: after a crash it is taken
	// to have been alive for so long after it was last told.
	notedEvery = time.Hour
	// OrdinalMax bounds the producers' ordinals: 20 bits of the device's word. A name takes 250 bytes with its 64, its
	// place among its account's and its ordinal: 260 MB if there were as many as ordinals.
	OrdinalMax = 1<<20 - 1
	// ordinalsLow makes a sweep due: so many names can be bound while it runs.
	ordinalsLow = 1 << 14
	// sweepEvery is the shortest time between two sweeps: each one looks at every device.
	sweepEvery = time.Minute
)
