package child

import "time"

const (
	// answerWithin bounds one query; the parent gives up a little later.
	answerWithin = 30 * time.Second
	// queriesMax bounds the queries that run at a time: each may use every processor.
	queriesMax = 4
	// importBytesMax bounds one body of samples: the parent sends a quarter of it.
	importBytesMax = 8 << 20
	// headerWithin bounds how long a request may take to say what it wants: the parent is on the same machine.
	headerWithin = 10 * time.Second
	// endWithin bounds the end: requests in hand, then the flush.
	endWithin = 5 * time.Second
	// heapFactor is how much memory the Go heap may take before it is collected as often as needed, in caches: 384 MB
	// with caches of 192 MB. It takes 60 MB with a thousand busy products; while 13 months are filled in it needs 200 MB,
	// and at a limit of 144 MB it did little but collect.
	heapFactor = 2
	// niceness lets everything that decides events go first.
	niceness = 10
	// oomScore has the kernel end this process before the one that decides events when memory runs short (0 to 1000).
	oomScore = 900
	// gcPercent is what VictoriaMetrics sets for itself: it allocates little.
	gcPercent = 30
	// unixPathMax is how long the path of a socket may be.
	unixPathMax = 100
)
