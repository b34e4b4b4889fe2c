package route

import "time"

const (
	// linksIdleMax is how many connections to one cell are kept for the next requests: as many as small requests can
	// keep busy, 20 KiB each.
	linksIdleMax = 256
	// linksMax bounds the connections to one cell: as many as its server takes.
	linksMax = 16 << 10
	// idleFor is how long a connection is kept. The owner's server closes it after five minutes.
	idleFor = time.Minute
	// dialTimeout bounds how long a connection takes, and the handshake of TLS as long again. Nothing was sent by then.
	dialTimeout = 2 * time.Second
	// handOverMax is how long a request waits for the next owner of a cell, from when its last one has let go of it: some
	// times what a planned hand-over takes on a busy machine, and less than gateways wait before they ask another node.
	handOverMax = 2 * time.Second
	// newsMax is how long a request waits for the board's word when the owner that it knows cannot be reached: its doors
	// may have closed a moment before everybody was told.
	newsMax = 250 * time.Millisecond
	// waitMax is how long a request waits in all before an owner has it, in all of its tries: until it is known which cell
	// it concerns, who owns that, and until that owner is reached. A take-over of cell 0, which knows all names, takes as
	// long; who has waited longer asks another node. What an owner takes for its answer is not counted.
	waitMax = 10 * time.Second
	// mergeWithin is how long the answers of all cells may take that are put together: a take-over, then a page of each.
	mergeWithin = 20 * time.Second
	// lostMax is how long an owner may still answer of which nobody has heard: one that is cut off gives up after 15 s,
	// and is followed within 15 s.
	lostMax = 30 * time.Second
	// reachMax is how many owners are tried before anything is sent: two that follow each other, and one more.
	reachMax = 3
	// triesMax is how often a request that only reads is tried: at the owner, at the one after it, and once more for a
	// connection that broke.
	triesMax = 3
	// sweepEvery is how often connections are looked at: for owners that are none any more, and for clients that have
	// gone.
	sweepEvery = 500 * time.Millisecond
	// goneAfter is how long a request must have lasted for its client to be looked at: one that closed its side behind a
	// short question still gets its answer.
	goneAfter = 5 * time.Second

	// completeWithin is how long a node that has started waits for an owner of each cell before it counts as ready with
	// those that there are: some elections of NATS. A damaged cell must not keep the others out for longer.
	completeWithin = time.Minute

	// headerBytesMax bounds the header of an answer; a cell's server takes requests of as much.
	headerBytesMax = 16 << 10
	// sendBufferBytes is what is gathered before it is sent: a plain request of a gateway, whole.
	sendBufferBytes = 8 << 10
	// plainBytesMax is the largest body that a cell's loop may take, with its header. Such requests have connections of
	// their own: a connection on which anything else came is served slower by the cell from then on.
	plainBytesMax = 3 << 10
	// pieceBytes is how much of a body is copied at once.
	pieceBytes = 32 << 10
	// answerBytesHeld is the largest answer that is read to its end before it is handed on, so that its connection is
	// free for the next request.
	answerBytesHeld = 64 << 10
	// partBytesMax bounds what is taken into memory of one cell's answer: a page of a thousand products, some times over.
	partBytesMax = 8 << 20
	// innerBytesMax bounds the answer to what nodes ask for: the verdicts of the largest batch, some times over.
	innerBytesMax = 64 << 20
	// pageDefault and pageMax are how many entries a page has without a limit, and at most, as the contract says.
	pageDefault = 100
	pageMax     = 1000
	// mergesMax bounds the answers of all cells that are put together at a time. Each holds a page of every cell: a
	// hundred entries of 600 bytes, unless more are asked for.
	mergesMax = 8

	// whoseMax bounds the tokens that owners are asked for at once, 32 bytes each: as many as answers to wrong ones are
	// held back.
	whoseMax = 1024

	// smallBodyBytesMax bounds a body that is looked at here: what the people's door takes of one.
	smallBodyBytesMax = 1 << 20

	// bodyTimeout is how long progressBytes of a request's body may take, as at a daemon alone.
	bodyTimeout   = time.Minute
	progressBytes = 1 << 20
	// takeTimeout is how long an owner may take to read a piece, or a client to take one.
	takeTimeout = time.Minute
	// silenceMax is how long an owner may be silent in the middle of an answer: eight of its heartbeats.
	silenceMax = 2 * time.Minute
	// tunnelBytes is how much of an event stream is carried at once, in each direction: some dozens of events.
	tunnelBytes = 4 << 10
	// tunnelTimeout is how long either end of an event stream may take to read a piece: what an owner gives its clients.
	tunnelTimeout = 30 * time.Second
)
