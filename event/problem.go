package event

import (
	"math/rand/v2"
	"strconv"
)

// Problem is a refused request as RFC 9457 has it. Line (from 1) and Field are given where a body was refused.
type Problem struct {
	Code   Code
	Detail string
	Field  string
	Line   int
}

// Error makes a Problem an error, so that a refusal travels as one.
func (p *Problem) Error() string { return p.Code.String() + ": " + p.Detail }

// RetryAfter returns what the Retry-After of a 503 says: seconds, jittered, so that clients do not come back together.
func RetryAfter() string {
	return strconv.Itoa(retryAfterMinSeconds + rand.IntN(retryAfterSpreadSeconds))
}

// RetryAfterMs is RetryAfter in milliseconds.
func RetryAfterMs() uint32 {
	return 1000*retryAfterMinSeconds + rand.Uint32N(1000*retryAfterSpreadSeconds)
}
