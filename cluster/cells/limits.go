package cells

import (
	"time"

	"github.com/meterd/meterd/event"
)

const (
	// cellsMax bounds the cells of a cluster: a note says where an event goes in one byte, and in two values of it that
	// it goes to no cell.
	cellsMax = 254
	// askTimeout bounds how long all owners that are asked for a batch have together, and each call of a stream: several
	// take-overs. A cell without an owner is not waited for; an owner that another one replaces is hung up on.
	askTimeout = 30 * time.Second
	// askTries is how many owners of a cell are asked, one after the other: one that hands the cell over, and the next.
	askTries = 2
	// eventBytes is what an event takes in a call beside its texts, mostly.
	eventBytes = 8
	// callHeadBytes is what a call has beside its parts, partHeadBytes what a part has beside its batch, at most.
	callHeadBytes = 256
	partHeadBytes = 32
	// namesMax bounds the names of one call: a batch has no more.
	namesMax = event.EventsMax
	// callBytesMax bounds the body of a call. Strings of a protobuf batch that share an entry of a table take their own
	// bytes in a part: a product, a device and a topic an event, 24 MiB for the most events beside the largest body.
	callBytesMax = 2*event.BodyBytesMax + streamCallBytes
	// streamCallBytes and streamCallRequests bound how much of a stream one call asks for beyond its first batch: what
	// takes an owner some milliseconds, so that the answers do not wait for each other much longer than for the disk.
	streamCallBytes    = 1 << 20
	streamCallRequests = 64
	// doorBytesMax bounds the bodies of calls that a cell works on at a time, and doorCostFactor what a byte of them
	// costs: the body, keys, verdicts and the answer. Beyond, calls are answered 503.
	doorBytesMax   = 1 << 30
	doorCostFactor = 4
	// requestsKept is how many requests a pooled call keeps with their memory.
	requestsKept = 4

	// toldFor is how long a sequence is remembered at least, and with it that a name was said to be unknown; youngFor is
	// how old a product must be for nobody to have been told so, with an hour for clocks that differ.
	toldFor  = 24 * time.Hour
	youngFor = toldFor + time.Hour
	// toldMax bounds the names that cell 0 remembers to have told: 10 MB. Beyond, it says *perhaps* for a day.
	toldMax = 100_000
	// toldSweptEvery is the least time between two searches of them for what is older than a day: some milliseconds each.
	toldSweptEvery = 500 * time.Millisecond
	// settledMax bounds the young products that a node knows never to have been told unknown.
	settledMax = 100_000

	// watchWait is how long a cell lets a node wait for news of commands, watchRetry how long a node waits before it asks
	// a cell again that did not answer.
	watchWait  = 20 * time.Second
	watchRetry = 500 * time.Millisecond
	// hearTimeout bounds how long the commands of one cell hold up those of the others, once.
	hearTimeout = 3 * time.Second
	// placeBytesMax bounds the text of a place in one cell's commands: a tag and two numbers.
	placeBytesMax = 64
	// commandsMax bounds the commands of one answer: a page has fewer.
	commandsMax = 10_000
)
