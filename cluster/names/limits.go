package names

import "time"

const (
	// bodyBytesMax bounds a request that gives a name: what the people's door takes of one.
	bodyBytesMax = 1 << 20
	// within is how long a call may take: a take-over of each cell that it needs, and some.
	within = 30 * time.Second
	// resumeAfter is how long a name is open before cell 0's owner settles it: whoever reserved it has had its answer long
	// before, or died. resumeEvery is the pause between two looks at what is open.
	resumeAfter = 10 * time.Second
	resumeEvery = time.Second
	// resumedAtOnce bounds what one look settles at a time.
	resumedAtOnce = 16
	// mirrorEvery is how often an owner compares cell 0's change number, a load, with what it has taken over: no longer
	// than a person notices.
	mirrorEvery = 10 * time.Millisecond
	// mirrorWait is how long an owner waits for a change of cell 0 before it says that it has not seen it yet.
	mirrorWait = 500 * time.Millisecond
	// loadWait is how long owners are waited for that say how full their cells are.
	loadWait = 500 * time.Millisecond
	// resolvedMax bounds the names of one question to cell 0, 64 bytes each.
	resolvedMax = 4096
)
