package call

import "time"

const (
	// messageBytesMax bounds a request and an answer: what NATS takes.
	messageBytesMax = 1 << 20
	// callsMax bounds the calls that one cell's owner has in hand, each a goroutine that waits for a group.
	callsMax = 256
	// tryMax is how long one answer is waited for before an owner is asked again: a group and a barrier take
	// milliseconds, and a node that was paused while it had the request does not answer at all.
	tryMax = 2 * time.Second
	// tryMin is how much time there must be left to ask once more after nobody was there: a request that is cut off says
	// nothing.
	tryMin = 400 * time.Millisecond
	// againEvery is the pause before a cell without an owner is asked again: a take-over has some seconds.
	againEvery = 50 * time.Millisecond
)
