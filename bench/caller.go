package bench

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// speaker is one connection to what is measured, with one batch in flight, and what it says there.
type speaker interface {
	// prepare makes the next batch and returns how many events it is; none at the end.
	prepare() int
	// request returns the batch as it is sent.
	request() []byte
	// hear looks at all that has come since the batch was sent, and reports whether that is the whole answer. It returns
	// an error unless it can still become, or is, the one answer that is right.
	hear(in []byte) (isWhole bool, err error)
	// line is what it speaks over.
	line() *wire
}

// caller is a speaker and the state of its batch. The poller owns its fields, except answered, until the load is over.
type caller struct {
	speaker speaker
	load    *load

	inFlight  int    // events of the batch that waits for its answer
	rest      []byte // of it, not sent yet
	sentAt    time.Time
	isBlocked bool // the connection takes no more for now

	answered atomic.Uint64 // events, all phases
	err      error
}

// split counts events by an instant: those that can only have been decided before it, and those that can only have been
// after.
type split struct{ before, after uint64 }

// answer counts the batch in flight as answered.
func (c *caller) answer(done time.Time) {
	events, l := uint64(c.inFlight), c.load
	o := l.outcome
	c.answered.Add(events)
	o.timeline.mark(done.Sub(l.began))
	if l.phase.Load() == phaseMeasure {
		o.events += events
		o.batches++
		// RecordValue fails only beyond latencyMax.
		_ = o.latency.RecordValue(min(int64(done.Sub(c.sentAt)), int64(latencyMax)))
	}
	if at := l.split; !at.IsZero() {
		if done.Before(at) {
			o.split.before += events
		} else if c.sentAt.After(at) {
			o.split.after += events
		}
	}
}

// exchange is the part of a speaker that all have: its connection, and the batch in flight.
type exchange struct {
	wire   *wire
	source source
	text   []byte
	events int
}

func (e *exchange) request() []byte { return e.text }

func (e *exchange) line() *wire { return e.wire }

// poster sends batches as HTTP requests, with rising sequences if its post has a producer.
type poster struct {
	exchange
	post     *post
	sequence uint64 // of the last request
}

func (p *poster) prepare() int {
	text, events := p.source.fill(p.post.blank())
	if events > 0 {
		p.sequence++
		p.text, p.events = p.post.seal(text, p.sequence), events
	}
	return events
}

// gateway speaks to meterd as one producer.
type gateway struct {
	poster
	answer answer
}

func (g *gateway) hear(in []byte) (bool, error) {
	r, isWhole, err := hearResponse(in)
	if err != nil || !isWhole {
		return false, err
	}
	if r.status != http.StatusOK {
		return false, fmt.Errorf("a batch of %d was refused: %d %.400q", g.events, r.status, r.body)
	}
	if err := g.answer.judge(r.body, g.events); err != nil {
		return false, fmt.Errorf("a batch of %d: %w: %.400q", g.events, err, r.body)
	}
	if r.close {
		return false, fmt.Errorf("the daemon closes the connection after a batch of %d", g.events)
	}
	return true, nil
}

// hearResponse returns the response that in holds, if it is whole.
func hearResponse(in []byte) (r response, isWhole bool, err error) {
	r, used, err := parseResponse(in)
	if err == nil && used > 0 && used < len(in) {
		err = fmt.Errorf("%d bytes follow the answer", len(in)-used)
	}
	return r, used > 0, err
}
