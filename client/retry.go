package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// deliver asks about b and returns its verdicts, or why there are none. It sends the same body with the same sequence
// again until it is answered, refused finally, or Timeout is over. With once it only looks whether meterd is back: it
// gives up after one try, unless that left b in doubt and nobody will ask about it later.
func (c *Client) deliver(b *batch, once bool) outcome {
	c.inFlight.Add(1)
	defer c.inFlight.Add(-1)
	deadline := time.Now().Add(c.opts.Timeout)
	for attempt := 0; ; attempt++ {
		verdicts, err := c.attempt(b, deadline)
		if err == nil {
			return outcome{verdicts: verdicts}
		}
		final := c.isFinal(b, err)
		if final || once && (!b.inDoubt || c.opts.OnUnavailable != FailClosed) ||
			!c.pause(deadline, c.retryPause(attempt, err.RetryAfter)) {
			err.Ambiguous = b.inDoubt
			return outcome{err: err, final: final}
		}
	}
}

// attempt makes one try of b, and before the first one what must come before.
func (c *Client) attempt(b *batch, deadline time.Time) ([]Verdict, *UnavailableError) {
	ctx, cancel := context.WithTimeout(c.ctx, min(time.Until(deadline), c.tryTimeout()))
	defer cancel()
	if b.ticket == (ticket{}) {
		if err := c.prepare(ctx, b); err != nil {
			return nil, err
		}
		t, err := c.sequences.take(ctx)
		if err != nil {
			return nil, &UnavailableError{Err: err}
		}
		b.ticket, b.takenAt = t, time.Now()
	}
	if err := b.seal(); err != nil {
		c.spoolState(err)
		return nil, &UnavailableError{Err: err}
	}
	if b.isSent {
		c.stats.retries.Add(1)
	}
	b.isSent = true
	c.stats.requests.Add(1)
	start := time.Now()
	verdicts, replayed, err := c.try(ctx, b)
	if replayed {
		c.stats.replayed.Add(1)
	}
	if c.opts.Tried != nil {
		t := Try{
			Sequence: b.ticket.sequence, Events: b.size.events, Bytes: len(b.body), Took: time.Since(start), Replayed: replayed,
		}
		if err != nil {
			t.Err = err
		}
		c.opts.Tried(t)
	}
	return verdicts, err
}

// Try is one try to have a batch decided.
type Try struct {
	Sequence uint64 // more than one try has it when it is sent again
	Events   int
	Bytes    int // of the batch, encoded
	Took     time.Duration
	Replayed bool  // an earlier try had been counted, and its answer was lost
	Err      error // why there are no verdicts, an *UnavailableError
}

// try sends b once and reads its answer.
func (c *Client) try(ctx context.Context, b *batch) (_ []Verdict, replayed bool, _ *UnavailableError) {
	r, err := c.ask(ctx, b)
	if err != nil {
		b.inDoubt = b.inDoubt || err.Ambiguous
		return nil, false, err
	}
	verdicts, parseErr := r.verdicts(b.size.events)
	if parseErr != nil {
		c.nodes.leave(r.from)
		b.inDoubt = true
		return nil, false, &UnavailableError{Ambiguous: true, Status: http.StatusOK, Err: parseErr}
	}
	return verdicts, r.replayed, nil
}

// ask sends b once.
func (c *Client) ask(ctx context.Context, b *batch) (reply, *UnavailableError) {
	if c.opts.Transport == OverStream {
		return c.stream.ask(ctx, b)
	}
	answerMax := answerBytesMin + answerBytesPerEvent*b.size.events
	return c.call(ctx, http.MethodPost, askedEvents, b.body, b.ticket.sequence, answerMax)
}

// errRecovering is why nothing else is sent yet.
var errRecovering = errors.New("what an earlier process left in the spool is not reported yet")

// awaitRecovered waits until what an earlier process left was answered.
func (c *Client) awaitRecovered(ctx context.Context) *UnavailableError {
	select {
	case <-c.recovered:
		return nil
	default:
	}
	select {
	case <-c.recovered:
		return nil
	case <-ctx.Done():
		return &UnavailableError{Err: errRecovering}
	}
}

// prepare does what comes before the sequence of b is drawn, one lane for all: what an earlier process left, the call
// that OweOffline asked for, and the question where the sequences go on. Only the last is for what was left itself.
func (c *Client) prepare(ctx context.Context, b *batch) *UnavailableError {
	if !b.isRecovered {
		if err := c.awaitRecovered(ctx); err != nil {
			return err
		}
	}
	owesOffline := func() bool { return !b.isRecovered && c.offlineOwed.Load() }
	if !owesOffline() && c.sequences.isKnown() {
		return nil
	}
	select {
	case c.preparing <- struct{}{}:
		defer func() { <-c.preparing }()
	case <-ctx.Done():
		return &UnavailableError{Err: context.Cause(ctx)}
	}
	if owesOffline() {
		if _, err := c.postOffline(ctx); err != nil {
			err.Ambiguous = false // The events behind it were not sent.
			return err
		}
		c.offlineOwed.Store(false)
	}
	if c.sequences.isKnown() {
		return nil
	}
	c.askingOnce.Do(func() { close(c.asking) })
	return c.learn(ctx)
}

// isFinal reports whether sending b again would not help. A refusal settles only what no earlier try left in doubt; but
// meterd's word about the sequence settles that too: reused says that b was not counted, too old that nobody will know.
func (c *Client) isFinal(b *batch, err *UnavailableError) bool {
	var p *Problem
	if !errors.As(err.Err, &p) || p.Status < 300 || p.Status >= 500 {
		return false
	}
	switch {
	case p.Status == http.StatusUnprocessableEntity && p.Code == codeSequenceReused:
		b.inDoubt, b.isSpent = false, true
	case p.Status == http.StatusConflict && p.Code == codeSequenceTooOld:
		b.isSpent = true
		if time.Since(b.takenAt) >= sequenceKeptFor {
			return true // It was forgotten in time.
		}
	default:
		return !b.inDoubt
	}
	err.Err = fmt.Errorf("%w: %w", ErrProducerShared, err.Err)
	if c.sequences.forget(b.ticket) {
		c.stats.producerShared.Add(1)
		if c.opts.ProducerShared != nil {
			c.opts.ProducerShared(err)
		}
	}
	return true
}

// tryTimeout bounds one try.
func (c *Client) tryTimeout() time.Duration {
	if c.nodes.several() {
		return min(c.opts.Timeout/triesMin, tryMax)
	}
	return c.opts.Timeout / triesMin
}

// retryPause is how long to leave meterd alone before attempt+1: a growing pause of ours or what it asked for,
// whichever is longer, but of the latter not more than a part of Timeout. A gateway whose own deadline is shorter than
// Retry-After would never try again otherwise. Both are jittered downwards: so many gateways do not come back together.
// Of several nodes each is tried before there is a pause: what one asks for is no word about the others. The pause is
// short then, since another owner may be there at any moment.
func (c *Client) retryPause(attempt int, asked time.Duration) time.Duration {
	n := len(c.nodes.list)
	if (attempt+1)%n != 0 {
		return jittered(retryPauseMin)
	}
	attempt /= n
	if n > 1 {
		asked = min(asked, retryAfterNodesMax)
	}
	own := jittered(min(retryPauseMin<<min(attempt, 10), retryPauseMax))
	return max(own, jittered(min(asked, c.opts.Timeout/retryAfterPart)))
}

// pause waits for d, or less so that a last try is left before the deadline; false when there is no time for one, or
// when Close cuts it off.
func (c *Client) pause(deadline time.Time, d time.Duration) bool {
	if left := time.Until(deadline); d > left/2 {
		d = min(d, left-c.opts.Timeout/retryAfterPart)
	}
	if d <= 0 {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}
