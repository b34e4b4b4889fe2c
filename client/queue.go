package client

import (
	"context"
	"sync"

	"github.com/meterd/meterd/event"
)

// queue is the room that events have while they wait for their turn, of all lanes together. It is safe for concurrent
// use.
type queue struct {
	eventsMax, bytesMax int
	// disconnectsMax is how many disconnects have room beyond that: a device that is gone must not stay online because
	// others send too much.
	disconnectsMax int

	mu     sync.Mutex
	events int
	bytes  int
	freed  chan struct{} // closed when there is more room; nil when nobody waits for it
}

// admit takes room for p; false when there is none.
func (q *queue) admit(p *Pending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.take(p)
}

// take is admit with the mutex held.
func (q *queue) take(p *Pending) bool {
	hasRoom := q.events < q.eventsMax && q.bytes+p.bytes <= q.bytesMax
	if !hasRoom && (p.event.Type != event.Disconnect || q.events >= q.eventsMax+q.disconnectsMax) {
		return false
	}
	q.events++
	q.bytes += p.bytes
	return true
}

// await takes room for p as soon as there is some. It fails with ErrOverloaded when there never will be, with
// ErrClosed, or with an *UnavailableError when ctx ends first.
func (q *queue) await(ctx context.Context, p *Pending, closing <-chan struct{}) error {
	for {
		q.mu.Lock()
		if q.take(p) {
			q.mu.Unlock()
			return nil
		}
		if q.events == 0 {
			q.mu.Unlock()
			return ErrOverloaded // It alone is more than the queue holds.
		}
		if q.freed == nil {
			q.freed = make(chan struct{})
		}
		freed := q.freed
		q.mu.Unlock()
		select {
		case <-freed:
		case <-closing:
			return ErrClosed
		case <-ctx.Done():
			return &UnavailableError{Err: context.Cause(ctx)}
		}
	}
}

// release gives the room of p back.
func (q *queue) release(p *Pending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.events--
	q.bytes -= p.bytes
	if q.freed != nil {
		close(q.freed)
		q.freed = nil
	}
}

// length returns how many events wait.
func (q *queue) length() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(q.events)
}
