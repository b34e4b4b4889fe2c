package overview

import "time"

// Every bound of the package, each with the reason for its size.
const (
	// bodyBytesMax bounds a body: it names one node.
	bodyBytesMax = 4 << 10
	// askMax is how long a move, a repair or forgetting a node may take: requests in hand are answered, a copy is proved
	// from its first group on, new replicas are waited for.
	askMax = 2 * time.Minute
	// movedMax is how long the new owner of a cell that was handed over is waited for: it has nothing to load.
	movedMax = 10 * time.Second
	// freshFor is how long a picture is shown again: a reading of the metrics asks for it some hundred times.
	freshFor = 200 * time.Millisecond
)
