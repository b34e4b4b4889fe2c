package api

import "time"

const (
	// bodyBytesMax bounds the body of an administrative request, which is held in memory; a plan has some 200 bytes.
	bodyBytesMax = 1 << 20
	// signInBytesMax bounds the body of a sign-in, which nobody has a right to yet; a code has 26 bytes.
	signInBytesMax = 1 << 10
	// signInCodeFor is how long a code for signing in is good, and signInCodeExpiresIn tells clients so: time to copy a
	// link. signInCodesMax bounds those that wait, some 100 bytes each; signInCodesATokenMax is a token's part.
	signInCodeFor        = 15 * time.Minute
	signInCodeExpiresIn  = "PT15M"
	signInCodesMax       = 256
	signInCodesATokenMax = 64
	// consoleTokenFor is how long the token of a sign-in is good: a working day and more.
	consoleTokenFor       = 12 * time.Hour
	consoleTokenExpiresIn = "PT12H"
	// consolePrefix begins the names of these tokens, which have consoleNameBytes: 26 of them are random. A sign-in
	// deletes at most expiredTokensAtOnce expired ones.
	consolePrefix       = "console-"
	consoleNameBytes    = len(consolePrefix) + 26
	expiredTokensAtOnce = 16
	// ticketFor is how long the address of a download is good: a browser opens it at once. ticketsMax bounds those that
	// wait, with paths of some 100 bytes, and ticketPathBytesMax each; ticketsATokenMax is a token's part.
	ticketFor          = time.Minute
	ticketsMax         = 1024
	ticketsATokenMax   = 64
	ticketPathBytesMax = 1 << 10
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
	// licensesCSVBytes is how much of a list of licences is gathered before it is sent, at some 90 bytes a licence.
	licensesCSVBytes = 256 << 10
	// deviceDaysBytes is how much of an answer about devices' days is gathered before it is sent.
	deviceDaysBytes = 256 << 10
	// usageRowBytes is about what a row of usage has as JSON.
	usageRowBytes = 256
	// usageStreamWithin ends a stream of usage that takes too long.
	usageStreamWithin = 15 * time.Minute
	// deviceLookersMax bounds the requests that look through all devices, of a product or of the daemon, at a time: each
	// holds 6 MB, and keeps a processor busy for half a second a million devices and week. deviceLookersATokenMax is a
	// token's part.
	deviceLookersMax       = 4
	deviceLookersATokenMax = 2
	// deviceUseDaysMax bounds the days that one of them looks at, and deviceUseWithin how long it may take.
	deviceUseDaysMax = 92
	deviceUseWithin  = 2 * time.Minute
	// topDefault and topMax bound the devices that are shown as those that used most.
	topDefault = 20
	topMax     = 100
	// whatIfDays is how many days are looked at for what another quota would have denied, if the request does not say.
	whatIfDays = 7
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
	// backupsMax bounds the copies of the data directory that are made at a time: each keeps the log from being released.
	// backupWithin ends one: 1 TB at 25 MB/s takes 11 hours.
	backupsMax   = 1
	backupWithin = 24 * time.Hour
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
)
