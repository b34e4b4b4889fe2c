package ingest

import "sync/atomic"

// admission is the memory budget, in bytes, that all requests share.
type admission struct {
	used atomic.Int64
	most int64
}

// take reserves n bytes and returns true, or reserves nothing and returns false.
func (a *admission) take(n int64) bool {
	if a.used.Add(n) <= a.most {
		return true
	}
	a.used.Add(-n)
	return false
}

func (a *admission) give(n int64) { a.used.Add(-n) }
