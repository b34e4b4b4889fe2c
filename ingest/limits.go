package ingest

import "time"

const (
	// admissionBytesDefault is the memory that requests may hold at a time.
	admissionBytesDefault = 1 << 30
	// costFactor is what a byte of body costs: the body, its copy in the batch, events, keys, verdicts and answer.
	costFactor = 5
	// eventCost is what an event costs beside its bytes while it is decided: itself, its key, slot and product, and a
	// denial. It is charged when the events are counted; until then a body of tiny ones holds at most event.EventsMax of
	// them.
	eventCost = 200
	// costMin is what a request costs at least.
	costMin = 16 << 10
	// bufferBytesKept is the largest buffer that is kept for the next request.
	bufferBytesKept = 4 << 20
	// eventsKept is the largest number of events whose memory is kept for the next request.
	eventsKept = 16 << 10

	// connectionsMax bounds connections with a goroutine and buffers of headerBytesMax each, and as many again that are
	// looked after by loops.
	connectionsMax = 16 << 10
	// descriptorsKept is how many descriptors connections leave to files: a daemon has 30 to 80 open. Of a limit below
	// twice as many they take half, and a quarter of one that is too small to leave descriptorsLeast.
	descriptorsKept  = 512
	descriptorsLeast = 128
	// headerBytesMax bounds a request's header, and is the size of a connection's read buffer.
	headerBytesMax = 16 << 10
	// plainBytesMax bounds a request that a loop answers, and is the size of a loop's read buffer: a single event, or a
	// batch that is decided in less time than waking a goroutine takes. Larger ones are better spread over all processors.
	plainBytesMax = 4 << 10
	// piecesMax is in how many pieces a loop waits for a request before fasthttp gets the connection.
	piecesMax = 4
	// turnRequests is how many requests of one connection a loop answers before it looks at the others.
	turnRequests = 16
	// companyMax is after how many more requests a loop has the first one stored although there are more, companyFor after
	// what time.
	companyMax = 256
	companyFor = time.Millisecond
	// groupPatience is how long a loop waits for a group alone: several times what a disk takes that others do not keep
	// busy.
	groupPatience = time.Millisecond
	// loopEvents is how many connections that have something to say a loop learns of at once.
	loopEvents = 512
	// sweepEvery is how often a loop looks for connections that are late.
	sweepEvery = time.Second
	// acceptPause is how long a listener waits that the operating system gives no connection.
	acceptPause = 50 * time.Millisecond
	// handedOver is how many connections may be on their way to fasthttp.
	handedOver = 128

	// readTimeout bounds how long a header may take to arrive, and each progressBytes of a body.
	readTimeout = time.Minute
	// progressBytes is what must come within readTimeout: 140 kbit/s, what the slowest links of gateways have.
	progressBytes = 1 << 20
	// writeTimeout bounds how long a client may take to accept its answer.
	writeTimeout = time.Minute
	// idleTimeout closes a connection that asks nothing.
	idleTimeout = 5 * time.Minute

	// lingerFor and lingerBytesMax bound what is read, and thrown away, of a request that was refused before all of it had
	// come: a body of twice the size that is taken, on a fast network.
	lingerFor      = 3 * time.Second
	lingerBytesMax = 128 << 20

	// streamsMax bounds command streams: each holds a connection.
	streamsMax = 4096
	// heartbeatEvery is how often a silent stream sends a comment, so that both sides notice a dead one.
	heartbeatEvery = 15 * time.Second
	// streamWriteTimeout drops a client that does not take its commands.
	streamWriteTimeout = 30 * time.Second

	// retryAfterMinSeconds and retryAfterSpreadSeconds make the jittered Retry-After of a 503.
	retryAfterMinSeconds    = 1
	retryAfterSpreadSeconds = 4
)
