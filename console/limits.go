package console

import "time"

const (
	// bodyBytesMax bounds the body of an administrative request, which is held in memory; a plan has some 200 bytes.
	bodyBytesMax = 1 << 20
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
	// logIndexMax bounds an entry's place within its group, which has no more than 2^32 bytes.
	logIndexMax = 1<<31 - 1
	// deadlineEvery is how often a streamed log renews the time that its client has to take what was written.
	deadlineEvery = time.Second
	// takeTimeout is that time.
	takeTimeout = time.Minute
	// retryAfterMinSeconds and retryAfterSpreadSeconds make the jittered Retry-After of a 503.
	retryAfterMinSeconds    = 1
	retryAfterSpreadSeconds = 4
)
