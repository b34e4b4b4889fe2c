package servers

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// examineEvery is how often servers are looked at. One that an operator restarts with other settings takes part in
	// acknowledgements within seconds.
	examineEvery = 10 * time.Second
	// askMax is how long servers may take to say what they are: they answer from memory.
	askMax = 3 * time.Second
	// quietMax is how long another answer is waited for when one has come: all are asked at once.
	quietMax = 500 * time.Millisecond
	// answerBytesMax bounds an answer: what a server says of itself has some 10 KB.
	answerBytesMax = 1 << 20
	// unseenMax is how often in a row a server may not be seen before that is a fault: a restart takes 30 s.
	unseenMax = 3
	// serversMax bounds the servers of a cluster of NATS that are looked at.
	serversMax = 256
	// PayloadBytesMin is the least that a server must take as one message: 512 KiB, and headers.
	PayloadBytesMin = 1 << 20
	// pingEvery and pingsMax notice a server that is gone within 15 s.
	pingEvery = 5 * time.Second
	pingsMax  = 2
)
