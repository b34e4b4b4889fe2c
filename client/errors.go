package client

import (
	"errors"
	"fmt"
	"time"
)

// What Decide and Submit fail with, to be told apart by errors.Is.
var (
	// ErrOverloaded: the queue is full; the event was not taken. Slow down.
	ErrOverloaded = errors.New("client: the queue of events is full")
	// ErrInvalid: the event could only be denied and was not sent. Its caller must change it.
	ErrInvalid = errors.New("client: invalid event")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("client: closed")
	// ErrProducerShared: another client uses this producer's name. Give each gateway its own.
	ErrProducerShared = errors.New("client: another client uses this producer's name")
	// ErrUnavailable matches every *UnavailableError.
	ErrUnavailable = errors.New("client: meterd cannot be asked")
)

// UnavailableError says that an event has no verdict. What to do then is the caller's policy.
type UnavailableError struct {
	// Ambiguous: the request went out, as often as there was time for, and its answer never came. The event may have been
	// counted, so asking about it anew could count it twice. Otherwise nothing was counted.
	Ambiguous bool
	// Status is the HTTP status of a refusal, 0 without an answer.
	Status int
	// RetryAfter is how long meterd asked to be left alone, 0 if it did not say.
	RetryAfter time.Duration
	// Err is the cause.
	Err error
}

// Error returns the cause and whether anything may have been counted.
func (e *UnavailableError) Error() string {
	counted := "nothing was counted"
	if e.Ambiguous {
		counted = "unknown whether it was counted"
	}
	return fmt.Sprintf("%v (%s): %v", ErrUnavailable, counted, e.Err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.Err }

// Is reports true for ErrUnavailable.
func (e *UnavailableError) Is(target error) bool { return target == ErrUnavailable }
