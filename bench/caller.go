package bench

import (
	"fmt"
	"sync/atomic"
	"time"
)

// speaker is one connection to what is measured, with one batch in flight, and what it says there.
type speaker interface {
	// prepare makes the next batch and returns how many events it is; none at the end.
	prepare() int
	// ask sends the batch, reads its answer, and returns an error unless that is the one answer that is right.
	ask() error
	// Close may be called while it asks, which then fails.
	Close() error
}

// caller is a speaker with its goroutine. Its fields belong to that goroutine until the load is over, but answered.
type caller struct {
	speaker speaker
	load    *load

	answered atomic.Uint64 // events, all phases
	events   uint64        // answered within the window
	batches  uint64
	latency  histogram // of the batches answered within the window
	timeline timeline  // of all phases
	split    split
	err      error
}

// split counts events by an instant: those that can only have been decided before it, and those that can only have been after.
type split struct{ before, after uint64 }

// run sends batches until they end or the load stops. After an error nothing more is sent.
func (c *caller) run() {
	for c.load.phase.Load() != phaseStop {
		events := c.speaker.prepare()
		if events == 0 {
			return
		}
		sent := time.Now()
		if err := c.speaker.ask(); err != nil {
			c.err = err
			return
		}
		done := time.Now()
		c.answered.Add(uint64(events))
		c.timeline.mark(done.Sub(c.load.began))
		if c.load.phase.Load() == phaseMeasure {
			c.events += uint64(events)
			c.batches++
			c.latency.observe(done.Sub(sent))
		}
		if at := c.load.split; !at.IsZero() {
			if done.Before(at) {
				c.split.before += uint64(events)
			} else if sent.After(at) {
				c.split.after += uint64(events)
			}
		}
	}
}

// gateway speaks to meterd: batches of one source over one connection, as one producer with rising sequences.
type gateway struct {
	wire     *wire
	post     *post
	source   source
	answer   answer
	sequence uint64 // of the last request

	request []byte
	events  int
}

func (g *gateway) prepare() int {
	text, events := g.source.fill(g.post.blank())
	if events > 0 {
		g.sequence++
		g.request, g.events = g.post.seal(text, g.sequence), events
	}
	return events
}

func (g *gateway) ask() error {
	r, err := g.wire.ask(g.request)
	if err != nil {
		return err
	}
	if r.status != 200 {
		return fmt.Errorf("a batch of %d was refused: %d %.400q", g.events, r.status, r.body)
	}
	if err := g.answer.judge(r.body, g.events); err != nil {
		return fmt.Errorf("a batch of %d: %w: %.400q", g.events, err, r.body)
	}
	if r.close {
		return fmt.Errorf("the daemon closes the connection after a batch of %d", g.events)
	}
	return nil
}

func (g *gateway) Close() error { return g.wire.Close() }
