package embedded

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// memoryBytesMax bounds streams in memory. There are none; the server's default is most of the machine's memory.
	memoryBytesMax = 64 << 20
	// readyMax is how long a start may take: an election takes 4 to 9 seconds, and logs are read before.
	readyMax = 60 * time.Second
	// readyEvery is how often it is asked whether JetStream answers.
	readyEvery = 50 * time.Millisecond
	// askMax is how long one such question may take.
	askMax = time.Second
	// nameBytes is the random part of a server's name: no two of a cluster have the same.
	nameBytes = 4
)
