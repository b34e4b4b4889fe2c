package bench

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// session is one connection to a server, with one batch in flight, and the protocol on it.
type session interface {
	// prepare makes the next batch and returns its number of events, 0 at the end.
	prepare() int
	// request returns the bytes of the batch.
	request() []byte
	// receive takes all bytes that were received since the batch was sent, and reports whether they are the whole answer.
	// It returns an error as soon as they cannot become the one right answer.
	receive(in []byte) (isWhole bool, err error)
	// line is the connection.
	line() *wire
}

// caller is a session and the state of its batch. Until the load is over, the poller owns all fields but answered.
type caller struct {
	session session
	load    *load

	inFlight  int    // events of the batches that wait for their answers
	rest      []byte // the part of the batch that is not sent yet
	sentAt    time.Time
	isBlocked bool // the socket buffer is full
	hasEnded  bool

	many pipelined   // the session, if it has several batches in flight
	sent []sentBatch // these batches, the oldest first
	out  []byte      // what rest points into

	answered atomic.Uint64 // events, all phases
	err      error
}

// split counts the events that were certainly decided before an instant, and those certainly decided after it.
type split struct{ before, after uint64 }

// answer counts the batch in flight as answered.
func (c *caller) answer(done time.Time) { c.count(c.inFlight, c.sentAt, done) }

// count counts a batch of n events as answered.
func (c *caller) count(n int, sentAt, done time.Time) {
	events, l := uint64(n), c.load
	o := l.outcome
	c.answered.Add(events)
	o.timeline.mark(done.Sub(l.began))
	if l.phase.Load() == phaseMeasure {
		o.events += events
		o.batches++
		// RecordValue fails only beyond latencyMax.
		_ = o.latency.RecordValue(min(int64(done.Sub(sentAt)), int64(latencyMax)))
	}
	if at := l.split; !at.IsZero() {
		if done.Before(at) {
			o.split.before += events
		} else if sentAt.After(at) {
			o.split.after += events
		}
	}
}

// exchange is what all sessions have: a connection, and the batch in flight.
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

// gateway sends batches to meterd as one producer.
type gateway struct {
	poster
	answer answer
}

// producing is a session whose batches have sequences.
type producing interface {
	session
	last() uint64 // the sequence of the last batch
}

func (g *gateway) last() uint64 { return g.sequence }

func (g *gateway) receive(in []byte) (bool, error) {
	r, isWhole, err := wholeResponse(in)
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

// wholeResponse returns the response that in holds, if it is whole.
func wholeResponse(in []byte) (r response, isWhole bool, err error) {
	r, used, err := parseResponse(in)
	if err == nil && used > 0 && used < len(in) {
		err = fmt.Errorf("%d bytes follow the answer", len(in)-used)
	}
	return r, used > 0, err
}
