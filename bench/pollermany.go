package bench

import (
	"errors"
	"time"
)

// Hot path: callers with several batches in flight, and loads with a fixed rate.

// pipelined is a session with several batches in flight; prepare and request make one more.
type pipelined interface {
	session
	// depth is how many batches may be in flight now.
	depth() int
	// take takes what in begins with, and returns its length, 0 if it is not whole. Answers are in the order of batches.
	take(in []byte) (used int, isAnswer bool, err error)
}

// sentBatch is a batch in flight.
type sentBatch struct {
	events int
	at     time.Time
}

// paceEvery is how often batches of a fixed rate are sent, those that are due together.
const paceEvery = time.Millisecond

// fill sends batches of a caller until as many are in flight as may be, at most `most`, with one write.
func (p *poller) fill(i, most int) {
	c := p.load.callers[i]
	c.out = append(c.out[:0], c.rest...) // What is left lies in the same buffer, further behind.
	now := time.Now()
	for ; most > 0 && len(c.sent) < c.many.depth() && p.load.phase.Load() != phaseStop; most-- {
		events := c.many.prepare()
		if events == 0 {
			break
		}
		c.out = append(c.out, c.many.request()...)
		c.sent = append(c.sent, sentBatch{events, now})
		c.inFlight += events
	}
	c.rest = c.out
	if len(c.sent) == 0 && p.load.phase.Load() == phaseStop {
		p.end(i, nil)
		return
	}
	if len(c.rest) > 0 {
		p.send(i)
	}
}

// takeAnswers takes the answers that have arrived at a caller with several batches in flight.
func (p *poller) takeAnswers(i int) {
	c := p.load.callers[i]
	w := c.session.line()
	if !p.read(i) {
		return
	}
	done, from, answers := time.Now(), 0, 0
	for {
		used, isAnswer, err := c.many.take(w.in[from:w.have])
		if err == nil && isAnswer && answers == len(c.sent) {
			err = errors.New("an answer came to no batch")
		}
		if err != nil {
			p.end(i, err)
			return
		}
		if used == 0 {
			break
		}
		if from += used; isAnswer {
			b := c.sent[answers]
			answers++
			c.inFlight -= b.events
			c.count(b.events, b.at, done)
		}
	}
	w.have = copy(w.in, w.in[from:w.have])
	c.sent = c.sent[:copy(c.sent, c.sent[answers:])]
	if p.load.rate == 0 || p.load.phase.Load() == phaseStop {
		p.fill(i, streamDepth)
	}
}

// pace sends the batches of a fixed rate that are due, one after the other at each caller. When all callers are full
// the rest is sent later, and the load is behind its rate, which the result shows. After the load it ends idle callers.
func (p *poller) pace() {
	callers := p.load.callers
	if p.load.rate == 0 {
		return
	}
	if p.load.phase.Load() == phaseStop {
		for i, c := range callers {
			if !c.hasEnded && len(c.sent) == 0 {
				p.end(i, nil)
			}
		}
		return
	}
	due := int64(time.Since(p.load.began).Seconds() * float64(p.load.rate))
	for full := 0; p.begun < due && full < len(callers); {
		i := p.next % len(callers)
		p.next++
		if c := callers[i]; c.hasEnded || len(c.sent) >= c.many.depth() {
			full++
			continue
		}
		full = 0
		p.fill(i, 1)
		p.begun++
	}
}
