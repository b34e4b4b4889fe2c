package send

import "time"

const (
	// timeout bounds one call, from the look-up of the name to the end of the answer: the specification asks for 15 to
	// 30 seconds, and receivers count on it.
	timeout = 20 * time.Second
	// connectTimeout bounds the connection alone, so that an address that swallows packets leaves time for another one.
	connectTimeout = 8 * time.Second
	// answerBytesMax is what of an answer's body is read, so that the connection can be used again; nobody needs it.
	answerBytesMax = 16 << 10
	// headerBytesMax bounds the headers of an answer.
	headerBytesMax = 16 << 10
	// idleTimeout is how long an idle connection is kept; a hook is called now and then.
	idleTimeout = time.Minute
	// idleConnections bounds those that are kept over all hooks.
	idleConnections = 64
	// RetryAfterMax bounds what a Retry-After of an answer may ask for.
	RetryAfterMax = time.Hour
)
