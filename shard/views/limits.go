package views

import "time"

const (
	// tailBytesMax bounds the groups that wait in memory for the slowest view: 0.3 s of the heaviest activation load.
	// A view that is further behind reads the log's files.
	tailBytesMax = 16 << 20
	// tailGroupsMax bounds their number: a group of one event costs 500 bytes of memory beside its effects.
	tailGroupsMax = 8192
	// groupOverheadBytes is what a group costs in the tail beside its effects and totals.
	groupOverheadBytes = 512
	// applyBytesMax bounds what one Apply gets, so that a view's memory is bounded. One group may be larger.
	applyBytesMax = 4 << 20
	// closeAppliesMax bounds what a view applies once the runner is closed: twice what waits in memory at most, a few
	// seconds. A view that is further behind must not hold up the end of the process.
	closeAppliesMax = 2 * tailBytesMax / applyBytesMax
	// cataloguesMax bounds the catalogues that are kept for a view that reads the log's files; each is a few KB beside
	// what it shares with the others. Beyond, groups come with one that is newer.
	cataloguesMax = 4096
	// gatherFor is how long groups gather before they are applied, unless somebody waits for them: each Apply costs a
	// view a sync, which the log's syncs wait for.
	gatherFor = time.Second
	// retryAfter is how long a view that failed rests before it is tried again.
	retryAfter = 5 * time.Second
	// waitMax is how long a reader waits for a view to catch up before it is told that the view lags.
	waitMax = 10 * time.Second
)
