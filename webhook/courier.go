package webhook

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/webhook/send"
)

// courier delivers the messages of one hook, one after the other. It runs in a goroutine of its own, so that a slow
// receiver delays nobody else.
type courier struct {
	s       *Service
	id      uint64
	hook    atomic.Pointer[license.Hook]
	changed chan struct{} // gets a value when the hook was changed, or somebody wants it tried now
	nextMs  atomic.Int64  // when the next try is, 0: nothing is waited for
	stop    context.CancelFunc
	done    chan struct{}
}

// run delivers until ctx ends.
func (c *courier) run(ctx context.Context) {
	defer close(c.done)
	queued := c.s.queue.kickOf(c.id)
	for ctx.Err() == nil {
		pause, err := c.deliver(ctx)
		if err != nil {
			c.s.logger.Error("messages of a webhook cannot be read or written; they are tried again",
				"webhook", c.hook.Load().Name, "error", err)
			pause = retryMax / 60
		}
		if pause > 0 {
			c.nextMs.Store(time.Now().Add(pause).UnixMilli())
			c.rest(ctx, pause)
			c.nextMs.Store(0)
			continue
		}
		select {
		case <-queued:
		case <-c.changed:
		case <-ctx.Done():
		}
	}
}

// rest waits, or until the hook changes.
func (c *courier) rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.changed:
	case <-ctx.Done():
	}
}

// prefetch is how many messages are read at once.
const prefetch = 32

// deliver delivers what waits, and returns how long to rest before it is called again: 0 when nothing waits.
func (c *courier) deliver(ctx context.Context) (pause time.Duration, err error) {
	for ctx.Err() == nil {
		if c.s.full() {
			return retryFirst, nil // What was delivered could not be noted.
		}
		list, err := c.s.queue.first(c.id, prefetch)
		if err != nil || len(list) == 0 {
			return 0, err
		}
		if c.gone() {
			return retryMax, c.giveUp(list)
		}
		for i := range list {
			pause, err := c.try(ctx, list[i])
			if err != nil || ctx.Err() != nil {
				return 0, err
			}
			if pause > 0 {
				return pause, c.giveUp(list[i:])
			}
		}
	}
	return 0, nil
}

// gone reports whether the receiver has said that it wants no more messages, and the hook was not changed since.
func (c *courier) gone() bool {
	return c.s.queue.look(c.id).state.GoneAtChangeMs == c.hook.Load().ChangedAtMs
}

// try sends one message. It returns how long to rest after a failure, 0 after a success.
func (c *courier) try(ctx context.Context, m numbered) (time.Duration, error) {
	h := c.hook.Load()
	secrets := [][]byte{h.Secret}
	if h.OldSecret != nil && time.Now().UnixMilli() < h.OldUntilMs {
		secrets = append(secrets, h.OldSecret)
	}
	outcome := c.s.send(ctx, &send.Call{URL: h.URL, Secrets: secrets, ID: m.ID, Body: m.Body})
	if ctx.Err() != nil {
		return 0, nil // The daemon stops, or the hook was deleted: it is tried at the next start, if at all.
	}
	if outcome.Err == nil {
		c.s.counts.delivered.Add(1)
		return 0, c.s.queue.delivered(c.id, m)
	}
	c.s.counts.failed.Add(1)
	var tries uint64
	err := c.s.queue.setState(c.id, func(s *state) {
		now := time.Now().UnixMilli()
		s.Failed++
		s.Tries++
		s.TriedMs, s.Error = now, cut(outcome.Err.Error())
		if s.FailingSinceMs == 0 {
			s.FailingSinceMs = now
		}
		if outcome.Gone {
			s.GoneAtChangeMs = h.ChangedAtMs
		}
		tries = s.Tries
	})
	return max(pauseAfter(tries), outcome.RetryAfter), err
}

// pauseAfter returns how long to rest after so many failures in a row.
func pauseAfter(tries uint64) time.Duration {
	pause := retryFirst
	for n := uint64(1); n < tries && pause < retryMax; n++ {
		pause *= retryTimes
	}
	pause = min(pause, retryMax)
	return pause/2 + rand.N(pause/2)
}

// cut bounds the text of an error.
func cut(text string) string { return text[:min(len(text), errorBytesMax)] }

// giveUp makes dead letters of the messages in list, the first that wait, whose time is over: the hook has failed for
// retryFor since they were queued. Those behind the first waited for it all the time.
func (c *courier) giveUp(list []numbered) error {
	state := c.s.queue.look(c.id).state
	now := time.Now()
	if now.Sub(c.s.started) < settleFor || state.FailingSinceMs == 0 {
		return nil
	}
	over := now.Add(-retryFor).UnixMilli()
	for over >= state.FailingSinceMs {
		n := 0
		for n < len(list) && list[n].QueuedMs <= over {
			n++
		}
		if n == 0 {
			return nil
		}
		err := c.s.queue.giveUp(c.id, list[:n], func(i int) (uint64, string) {
			if i > 0 {
				return 0, cut("was not tried: the one before it failed until its time was over: " + state.Error)
			}
			return state.Tries, state.Error
		})
		if err != nil {
			return err
		}
		c.s.counts.dead.Add(uint64(n))
		c.s.logger.Warn("messages of a webhook were given up; they are kept as dead letters",
			"webhook", c.hook.Load().Name, "messages", n, "error", state.Error)
		if n < len(list) {
			return nil
		}
		if list, err = c.s.queue.first(c.id, deadMovesMax); err != nil {
			return err
		}
	}
	return nil
}
