package history

import "time"

const (
	// sampleEvery is how far apart samples are: a query shows nothing older than this and what a store takes to show it.
	sampleEvery = 10 * time.Second
	// refreshEvery is how often a series is written that has not changed, so that it does not go stale. It divides a
	// quarter of an hour, and is what the thin store keeps.
	refreshEvery = 5 * time.Minute
	// quarter is the finest window of the ledger.
	quarter = 15 * time.Minute
	// staleAfter is how far apart samples of a living series may be: filled in ones are a quarter of an hour apart.
	staleAfter = 20 * time.Minute
	// fineFor is how far back every sample is kept. The store keeps a day more, for what is on the way out.
	fineFor      = 48 * time.Hour
	fineKeptMore = 24 * time.Hour

	// lagMax is how old the last sample is at most while all goes well.
	lagMax = 3 * sampleEvery

	// bodyBytesMax is what is sent to a store at a time: some 6000 samples.
	bodyBytesMax = 1 << 20
	// stepRows is how many quarters of products are filled in a step, some 800,000 samples: a day of a thousand products.
	// A crash repeats one step.
	stepRows = 96_000
	// fillPauseMin is the shortest pause between two steps.
	fillPauseMin = 50 * time.Millisecond
	// complainEvery is how often the same trouble is logged.
	complainEvery = time.Minute
	// settledAfter is how long after it was taken a sample is on the store's disk for certain; it flushes every 5 s.
	settledAfter = 15 * time.Second
	// pastRetryAfter is how long what stood in the past waits for a store that does not take it, such as one that opens.
	pastRetryAfter = 200 * time.Millisecond
	// lookFor is how long one look at the engine, or one request to a store, may take.
	lookFor = 15 * time.Second

	// queriesMax bounds the queries that run at a time, queriesWaitingMax those that wait, for waitFor at most.
	queriesMax        = 4
	queriesWaitingMax = 64
	waitFor           = 5 * time.Second
	// answerWithin ends a query that takes long: the child ends it at 30 s by itself.
	answerWithin = 35 * time.Second
	// answerMargin is how much longer than its timeout a query is waited for: a store that is well ends it and says so.
	answerMargin = 2 * time.Second
	// answerBytesMax bounds one answer, which is held in memory: a thousand series of a thousand points have 30 MB.
	answerBytesMax = 32 << 20
	// queryBytesMax bounds the text of one query, pointsMax the points of a series (as in Prometheus), matchesMax the
	// selectors of one request.
	queryBytesMax = 16 << 10
	pointsMax     = 11_000
	matchesMax    = 64

	// openWithin is how long a child may take to open its files: seconds for gigabytes.
	openWithin = 2 * time.Minute
	// healthEvery and healthWithin: a child that does not answer for healthFailsMax times in a row hangs.
	healthEvery    = 2 * time.Second
	healthWithin   = 5 * time.Second
	healthFailsMax = 3
	// endWithin is how long a child may take to flush and end.
	endWithin = 8 * time.Second
	// restartMin doubles up to restartMax while a child does not live for soundAfter.
	restartMin = time.Second
	restartMax = time.Minute
	soundAfter = 2 * time.Minute
	// openFailsMax is how often in a row a child may end before its files were open, or soon after, until they are taken
	// for damaged.
	openFailsMax = 3
	// restEvery is how often is looked whether the disk has room again.
	restEvery = 5 * time.Second
	// cacheBytes is what the caches of one child may take, and its heap twice as much. A quarter of it is what all
	// queries that run may take: 1000 products by day over 13 months take 15 MB. A child that is idle takes 22 MB in all.
	cacheBytes = 192 << 20
)
