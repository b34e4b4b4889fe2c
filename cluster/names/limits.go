package names

import "time"

const (
	// within is how long a call may take: a take-over of each cell that it needs, and some.
	within = 30 * time.Second
	// resumeAfter is how long a name is open before cell 0's owner settles it: whoever reserved it has had its answer long
	// before, or died. resumeEvery is the pause between two looks at what is open.
	resumeAfter = 10 * time.Second
	resumeEvery = time.Second
	// resumedAtOnce bounds what is settled at a time in one cell.
	resumedAtOnce = 16
	// deletedMax is how often a cell is asked to delete what another call has deleted by the time its name is looked for.
	// It knows that when it is asked again.
	deletedMax = 3
	// openWait is how long a creation waits for what becomes of another one of the same name before it is answered 503:
	// some hundred times what that takes while all cells have owners. openEvery is the pause between two questions.
	openWait  = 2 * time.Second
	openEvery = 25 * time.Millisecond
	// mirrorEvery is how often an owner compares cell 0's change number, a load, with what it has taken over: no longer
	// than a person notices.
	mirrorEvery = 10 * time.Millisecond
	// mirrorWait is how long an owner waits for a change of cell 0 before it says that it has not seen it yet.
	mirrorWait = 500 * time.Millisecond
	// loadWait is how long owners are waited for that say how full their cells are.
	loadWait = 500 * time.Millisecond
)
