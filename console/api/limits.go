package api

import "time"

const (
	// bodyBytesMax bounds the body of an administrative request, which is held in memory; a plan has some 200 bytes.
	bodyBytesMax = 1 << 20
	// formBytesMax bounds the parameters of a query of the usage history: one query and some selectors.
	formBytesMax = 64 << 10
	// fieldBytesMax bounds what of an unknown member's name is sent back.
	fieldBytesMax = 64
	// pageDefault and pageMax bound the elements of one answer (the contract).
	pageDefault = 100
	pageMax     = 1000
	// scanDevices is how many devices one View looks at: at some 20 ns each it holds a seal up for 0.1 ms at most.
	scanDevices = 4096
	// scanLots bounds the lots that one View sums up, at some 5 ns each; a product alone may have more.
	scanLots = 16 << 10
	// scanAudit is how many entries of the audit log one answer looks at, at some 2 µs each: a token that is bound to an
	// account skips those of others.
	scanAudit = 4096
	// logPageBytesMax bounds what one scan gathers for a streamed log; a client that does not take it holds no more than
	// that.
	logPageBytesMax = 256 << 10
	// logAnswerBytesMax bounds the entries of one JSON answer: a thousand without payloads have 200 KB.
	logAnswerBytesMax = 1 << 20
	// pieceBytes is what a client must take within takeTimeout, or its stream ends.
	pieceBytes  = 16 << 10
	takeTimeout = time.Minute
	// endWithin is what it still has when the stream is to end because the daemon stops.
	endWithin = time.Second
	// usageReadersMax bounds the requests that read usage at a time: each holds some 15 MB, and keeps all processors busy
	// while it makes them. usageReadersATokenMax is a token's part.
	usageReadersMax       = 16
	usageReadersATokenMax = 8
	// usageBodyBytes is how much of an answer about usage is gathered before it is sent: what is shorter can still be
	// refused when the ledger cannot be read to its end.
	usageBodyBytes = 8 << 20
	// deviceDaysBytes is how much of an answer about devices' days is gathered before it is sent.
	deviceDaysBytes = 256 << 10
	// usageRowBytes is about what a row of usage has as JSON.
	usageRowBytes = 256
	// usageStreamWithin ends a stream of usage that takes too long.
	usageStreamWithin = 15 * time.Minute
	// logReadersMax bounds the requests that read logs at a time: with a page each, and its copy on the way, they hold 128
	// MiB at most. logReadersATokenMax is a token's part.
	logReadersMax       = 256
	logReadersATokenMax = 64
	// logFollowersMax bounds the requests that follow a log at a time: each holds two goroutines and 512 KiB on the way to
	// its client at most. logFollowersATokenMax is a token's part.
	logFollowersMax       = 256
	logFollowersATokenMax = 64
	// mailboxBytes is how much may wait to be written to a client that follows a log before its next entry waits.
	mailboxBytes = 256 << 10
	// followLookEvery is how often a stream of a log looks whether its token is still good; followPingTicks is after how
	// many of these a silent one sends a comment, so that proxies keep it open: most give up after 30 seconds or more.
	followLookEvery = time.Second
	followPingTicks = 15
	// downloadsMax bounds the sealed files that are sent at a time, each with a descriptor and a goroutine;
	// downloadsATokenMax is a token's part.
	downloadsMax       = 64
	downloadsATokenMax = 16
	// logPageWithin and logStreamWithin end the search for a page, and a stream, that take too long.
	logPageWithin   = 2 * time.Minute
	logStreamWithin = 15 * time.Minute
	// sortedStreamsATokenMax is a token's part of the products whose log is sorted as a whole at once, of which there are
	// two: none keeps others from it.
	sortedStreamsMax       = 2
	sortedStreamsATokenMax = 1
	// sortedStreamWithin ends a stream of all of a product: a week of a billion events takes three quarters of an hour.
	sortedStreamWithin = 2 * time.Hour
	// goneEvery is how often a request that takes long looks whether its client is still there.
	goneEvery = 250 * time.Millisecond
	// retryAfterMinSeconds and retryAfterSpreadSeconds make the jittered Retry-After of a 503.
	retryAfterMinSeconds    = 1
	retryAfterSpreadSeconds = 4
)
