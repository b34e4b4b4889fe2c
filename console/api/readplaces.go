package api

import "sync"

// readPlaces bounds the requests that read for long at a time: in all, and of one token, so that none keeps others from
// reading. It is safe for concurrent use.
type readPlaces struct {
	most, mostAToken int

	mu      sync.Mutex
	all     int
	byToken map[string]int // tokens without a reader are not in it
}

// enter reports whether one more may read; then leave must follow.
func (r *readPlaces) enter(token string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == r.most || r.byToken[token] == r.mostAToken {
		return false
	}
	if r.byToken == nil {
		r.byToken = map[string]int{}
	}
	r.all++
	r.byToken[token]++
	return true
}

func (r *readPlaces) leave(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all--
	if r.byToken[token]--; r.byToken[token] == 0 {
		delete(r.byToken, token)
	}
}

// count returns how many read now.
func (r *readPlaces) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all
}
