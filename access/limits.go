package access

import "time"

const (
	// penaltyFirst is how long the first answer to a wrong token is held back: a person who mistyped it does not notice.
	penaltyFirst = 100 * time.Millisecond
	// penaltyMost is the longest: a loop that goes on with an expired token calls once a second then. Clients that give up
	// sooner than this would only call again sooner.
	penaltyMost = time.Second
	// penaltyForget is how long a caller must behave to be forgotten, at least; twice as long at most.
	penaltyForget = time.Minute
	// penaltyOriginsMax bounds the callers of one generation, some 60 bytes each; two generations are kept.
	penaltyOriginsMax = 4096
	// penaltiesHeldMax bounds the answers that are held at a time, each with its connection: a sixteenth of those that
	// there may be, so that callers with right tokens always find one.
	penaltiesHeldMax = 1024
	// penaltyNetBits is how much of an IPv6 address names its network.
	penaltyNetBits = 64
)
