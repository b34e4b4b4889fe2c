package purge

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// lookEvery is how often the owner looks at the stream: at 50 MB/s the smallest one, of 512 MiB, grows by a tenth
	// meanwhile, and events stop a quarter before it refuses them. The others look at each othersEvery-th time.
	lookEvery   = time.Second
	othersEvery = 5
	// askMax is how long an answer may take: a purge is a message of the stream's own Raft log.
	askMax = 4 * time.Second
	// bytesMin and messagesMin are what a purge must be worth: an idle cell has a barrier a second.
	bytesMin    = 16 << 20
	messagesMin = 8192
	// wholeLooks is how many looks must find every replica up to date before its files count as empty: a replica has the
	// purge in its Raft log when it says so, and applies it and compacts that log beside. A purge of 17 MiB is done in
	// tens of milliseconds.
	wholeLooks = 10
	// boundPart is the part of MaxBytes beyond which slow copies are left behind, in eighths; stopPart the one at which
	// events stop, and goPart the one at which they go on. What is in hand is far less than an eighth.
	boundPart, goPart, stopPart, parts = 4, 5, 6, 8
)
