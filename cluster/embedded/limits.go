package embedded

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// memoryBytesMax bounds streams in memory. There are none; the server's default is most of the machine's memory.
	memoryBytesMax = 64 << 20
	// readyMax is how long the server may take until it takes connections.
	readyMax = 60 * time.Second
	// readyEvery is how often it is asked whether JetStream answers.
	readyEvery = 50 * time.Millisecond
	// tellEvery is how often it is said that JetStream does not answer, linesEvery how often a line of the server comes:
	// it tries a route that is down three times a second.
	tellEvery  = 10 * time.Second
	linesEvery = time.Minute
	// askMax is how long one such question may take.
	askMax = time.Second
	// silentMax is how long a server may not be heard by the one that leads: they tell each other something each second.
	silentMax = 10 * time.Second
	// nameBytes is the random part of a server's name: no two of a cluster have the same.
	nameBytes = 4
)
