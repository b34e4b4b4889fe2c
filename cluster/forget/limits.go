package forget

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// lookEvery is how often it is looked again, and askMax how long a look may take: a question for each stream.
	lookEvery = 500 * time.Millisecond
	askMax    = 5 * time.Second
	// wellWithin is how long replicas may take to be current: under load they lack the last message, now and then. A
	// server that died counts as offline after 10 s.
	wellWithin = 20 * time.Second
	// removeMax is how long a removal may take: a message of the servers' own Raft log.
	removeMax = 5 * time.Second
	// placedWithin is how long new replicas are waited for. Whoever asked is told that they are being made, then.
	placedWithin = 80 * time.Second
	// ownEvery is how often a node looks whether a server that it had before is still there, and ownLooks how often in
	// a row that one must be dead, and all others well, before the node has it forgotten by itself.
	ownEvery = 10 * time.Second
	ownLooks = 3
)
