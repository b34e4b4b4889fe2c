package ingest

import (
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
)

const (
	// admissionBytesDefault is the memory that requests may hold at a time.
	admissionBytesDefault = 1 << 30
	// costFactor is what a byte of body costs: the body, its copy in the batch, events, keys, verdicts and answer.
	costFactor = 5
	// eventCost is the memory of an event beside its bytes while it is decided: the event, its key, slot and product,
	// and a denial. It is charged when the events are counted; until then a body has at most event.EventsMax of them.
	eventCost = 200
	// checkCost is what an event of a check takes beside that: the copy of its device, found in two ways, and its row.
	checkCost = 300
	// costMin is what a request costs at least.
	costMin = 16 << 10
	// bufferBytesKept is the largest buffer that is kept for the next request.
	bufferBytesKept = 4 << 20
	// eventsKept is the largest number of events whose memory is kept for the next request.
	eventsKept = 16 << 10

	// unreadBytesMax bounds the answers above answerBytesFree that clients have not taken yet: some twenty of the largest,
	// thousands of the usual ones. Smaller ones take as much on all connections together.
	unreadBytesMax  = 256 << 20
	answerBytesFree = 16 << 10

	// connectionsMax bounds the connections of fasthttp, each with a goroutine and a buffer of headerBytesMax, and
	// separately those of all loops.
	connectionsMax = 16 << 10
	// descriptorsKept is how many descriptors connections leave to files: a daemon has 30 to 80 files open. If the
	// limit is below twice as many, connections take half of it; if half is not enough for descriptorsLeast, a quarter.
	descriptorsKept  = 512
	descriptorsLeast = 128
	// headerBytesMax bounds a request's header, and is the size of a connection's read buffer.
	headerBytesMax = 16 << 10
	// plainBytesMax bounds a request that a loop answers, and is the size of a loop's read buffer: a single event, or a
	// batch that takes less time to decide than a goroutine takes to wake. Larger ones are better spread over
	// processors.
	plainBytesMax = 4 << 10
	// piecesMax is how many reads a loop does for one request before it gives the connection to fasthttp.
	piecesMax = 4
	// turnRequests is how many pipelined requests of one connection a loop answers before it serves the others.
	turnRequests = 16
	// batchRequestsMax and batchWait bound how long a decided request waits for others to be stored together with: for
	// so many requests, and so long.
	batchRequestsMax = 256
	batchWait        = time.Millisecond
	// groupWait is how long a loop leaves new requests unread while its group is written: several times as long as an
	// idle disk takes.
	groupWait = time.Millisecond
	// loopEvents is how many epoll events a loop takes at once.
	loopEvents = 512
	// sweepEvery is how often a loop looks for connections that are idle or too slow.
	sweepEvery = time.Second
	// acceptPause is how long a listener waits after the operating system had no descriptor or memory for a connection.
	acceptPause = 50 * time.Millisecond
	// handedOver is how many connections may be on their way to fasthttp.
	handedOver = 128

	// readTimeout bounds how long a header may take to arrive, and each progressBytes of a body.
	readTimeout = time.Minute
	// progressBytes is what must come within readTimeout: 140 kbit/s, what the slowest links of gateways have.
	progressBytes = 1 << 20
	// writeTimeout bounds how long a client may take to read its answer.
	writeTimeout = time.Minute
	// idleTimeout closes a connection without requests.
	idleTimeout = 5 * time.Minute

	// lingerFor and lingerBytesMax bound what is read and discarded of a request that was refused before its end was read:
	// twice the largest body, on a fast network.
	lingerFor      = 3 * time.Second
	lingerBytesMax = 128 << 20

	// streamsMax bounds command streams: each holds a connection.
	streamsMax = 4096
	// heartbeatEvery is how often a silent stream sends a comment, so that both sides notice a dead one.
	heartbeatEvery = 15 * time.Second
	// streamWriteTimeout disconnects a client that does not read its commands.
	streamWriteTimeout = 30 * time.Second

	// eventStreamsMax bounds the event streams: an idle one takes about 10 KiB, so all of them take 160 MiB.
	eventStreamsMax = 16 << 10
	// streamCredit is how many batches a stream may have in flight: as many as a producer may have over HTTP.
	streamCredit = 64
	// streamCreditScarce is how many it may have when more than half of the memory for requests is taken; one when more
	// than three quarters are.
	streamCreditScarce = 8
	// streamFrameBytesMax bounds a message of a stream: a batch is as large as over HTTP.
	streamFrameBytesMax = event.BodyBytesMax + wire.FrameOverheadMax
	// streamCreditBytes bounds the messages in flight on a stream: one of the largest.
	streamCreditBytes = streamFrameBytesMax
	// streamCommandsCredit is how many commands a stream gets beyond those that were acknowledged: a page of them is read
	// at a time.
	streamCommandsCredit = 512
	// streamBufferIdle is the read buffer of an idle stream: a batch of one event, or a pong, fits.
	streamBufferIdle = 512
	// streamBufferFree is the largest read buffer that a stream has without asking for memory: together 256 MiB. It is
	// also the most that a stream may hold in fragments while it waits for memory.
	streamBufferFree = 16 << 10
	// streamBufferKept is the largest read buffer that a stream keeps for the next message: ten batches of a thousand.
	streamBufferKept = 256 << 10
	// streamWriteBytes is how many bytes of answers are gathered for one write, and streamOutKept how large the buffer for
	// them may be between two writes.
	streamWriteBytes = 64 << 10
	streamOutKept    = 4 << 10
	// streamBytesInLoop is the largest message that a loop decides itself: what it does for a plain request.
	streamBytesInLoop = plainBytesMax
	// streamEventsInLoop is the largest batch whose answer a loop makes itself: in 0.2 ms at most, if all are denied.
	streamEventsInLoop = 4096
	// streamsATurn is how many streams a loop serves before it looks for new requests and durable groups.
	streamsATurn = 64
	// relayBytesMax bounds what a loop hands to a connection with TLS before the client has read it, and relayReadBytes
	// what is read from one at a time: batches of one event, some dozens.
	relayBytesMax  = streamWriteBytes
	relayReadBytes = 4 << 10
	// streamIdleTimeout closes a stream on which nothing came, not even an answer to four pings.
	streamIdleTimeout = 4 * heartbeatEvery
	// streamCloseTimeout bounds a write of a stream while the daemon stops, and so how long a client that reads nothing
	// holds that up.
	streamCloseTimeout = 3 * time.Second
)
