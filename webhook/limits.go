package webhook

import "time"

const (
	// queueMax bounds the messages that wait for one hook, some 500 bytes each on disk. What comes beyond is dropped: a
	// receiver that takes a second for each is three hours behind by then.
	queueMax = 10_000
	// queueBytesMax bounds the rows of all messages that wait: 50 hooks with full queues. When there are more, or the disk
	// runs short of space, a hook is only told what fits in hookBytes, some 120 messages: so those whose receivers take
	// what they are sent go on, and 500 hooks write 32 MB at most.
	queueBytesMax = 256 << 20
	hookBytes     = 64 << 10
	// deadMax bounds the dead letters of one hook; the oldest go first.
	deadMax = 1000
	// retryFor is how long a message is tried: a receiver that broke on a Friday is mended on Monday.
	retryFor = 72 * time.Hour
	// settleFor is how long after its start the daemon gives no message up: the network may come later than meterd.
	settleFor = 15 * time.Minute
	// retryFirst, retryTimes and retryMax make the pauses between tries: 5 s, 15 s, 45 s … 2 h, some 45 tries in three
	// days. Each is shortened by up to half at random, so that hooks of one receiver do not come back together.
	retryFirst = 5 * time.Second
	retryTimes = 3
	retryMax   = 2 * time.Hour
	// errorBytesMax bounds the text of an error that is kept and shown.
	errorBytesMax = 300

	// gatherMax is how many messages are gathered from groups before they are written; 2 MB in memory.
	gatherMax = 4096
	// deadMovesMax is how many messages that were given up become dead letters in one transaction.
	deadMovesMax = 500
	// purgeMax is how many rows of a hook that was deleted are removed in one transaction.
	purgeMax = 5000

	// pruneMax is how many messages that another node has delivered are removed in one transaction.
	pruneMax = 500
	// behindMax is how many hooks that are behind are told of by themselves. The others are taken to be as far as the last
	// of them.
	behindMax = 8

	// tick is how often hooks that were made, changed or deleted are noticed, and whether ingest is stopped.
	tick = time.Second
	// stockEvery is how often the stock of products is looked at: some 50 ns a product.
	stockEvery = 10 * time.Second
	// outlookShare is how many times as long as a look at the days ahead took the next one waits: it passes over the
	// device table, some 0.5 µs a device, and shall cost a thousandth of a processor. outlookMin and outlookMax bound it.
	outlookShare           = 1000
	outlookMin, outlookMax = time.Minute, time.Hour
	// stockProducts bounds the products that are looked at within one hold of the gate.
	stockProducts = 1000
	// maintainEvery is how often the store gives back space: it looks at 50,000 rows then.
	maintainEvery = time.Minute
	// outlookDays is how far ahead the licences of a product are counted: the earliest warning is of 90 days.
	outlookDays = 91
	// endingDays is how far ahead the daily summary of licences that end looks.
	endingDays = 30
)
