package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// The states of a Pending. It leaves stateQueued once, by the lane that sends it or by the caller who gives up.
const (
	stateQueued int32 = iota
	stateClaimed
	stateGivenUp
)

// Pending is an event that was handed in and has no verdict yet. It is safe for concurrent use.
type Pending struct {
	event     Event // without payload once it is encoded
	bytes     int   // that it takes of the queue
	enteredAt time.Time
	state     atomic.Int32
	done      chan struct{} // closed after verdict and err were set
	verdict   Verdict
	err       error
}

// Wait returns the verdict, or why there is none (*UnavailableError, ErrClosed). When ctx ends first the event is given
// up: not sent at all if it was still waiting for its turn, and Ambiguous otherwise; either way it is not kept as
// unasked. May be called more than once.
func (p *Pending) Wait(ctx context.Context) (Verdict, error) {
	select {
	case <-p.done:
		return p.verdict, p.err
	default:
	}
	select {
	case <-p.done:
		return p.verdict, p.err
	case <-ctx.Done():
	}
	if p.state.CompareAndSwap(stateQueued, stateGivenUp) {
		return Verdict{}, &UnavailableError{Err: context.Cause(ctx)}
	}
	select {
	case <-p.done: // The verdict came in the same instant, or p was given up before.
		return p.verdict, p.err
	default:
		return Verdict{}, &UnavailableError{Ambiguous: p.state.Load() == stateClaimed, Err: context.Cause(ctx)}
	}
}

// errGivenUp is what a Pending comes to whose caller stopped waiting before it was sent.
var errGivenUp = errors.New("given up before it was sent")

// claim takes p out of the caller's hands. False when the caller gave it up: then p is resolved here, once and for all.
func (p *Pending) claim() bool {
	if p.state.CompareAndSwap(stateQueued, stateClaimed) {
		return true
	}
	p.resolve(Verdict{}, &UnavailableError{Err: errGivenUp})
	return false
}

// resolve hands the verdict to the waiting caller. Called once, by the lane.
func (p *Pending) resolve(v Verdict, err error) {
	p.verdict, p.err = v, err
	close(p.done)
}
