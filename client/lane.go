package client

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/meterd/meterd/client/spool"
)

// lane keeps the order of its devices: one queue, one batch in flight, both worked by one goroutine (run). What is owed
// is older than what waits, so it goes first.
type lane struct {
	client *Client
	wake   chan struct{} // one token: look again

	// owing is held while events leave the queue, so that none overtakes what passes unasked; mu may be taken after it.
	owing sync.Mutex
	owed  []*spool.Batch // oldest first
	tail  tail           // the last of them, while it takes more

	mu      sync.Mutex
	queue   []*Pending          // in the order in which events were handed in
	known   map[deviceKey]known // with LastKnown
	closing bool

	// Only run and what it calls touch these.
	failures  int       // batches in a row without an answer; one that was tried for all of Timeout counts as failuresMax
	probeAt   time.Time // not before this is meterd asked for what a lane with failures owes
	lastTry   bool      // closing, and meterd was tried once more
	front     *batch    // the first of owed, once it is to be sent
	recovered int       // how many of the first of owed an earlier process left
}

// errQueueTimeout is why an event failed that waited longer than Timeout for its turn.
var errQueueTimeout = errors.New("waited too long for its turn")

// errPaused is why an event failed that came while its lane leaves a dead meterd alone.
var errPaused = errors.New("the last requests failed; it is asked again soon")

// errBehind is why an event failed that came while its lane still reports what passed in an outage.
var errBehind = errors.New("what passed in an outage is still being reported")

// enqueue appends list; false after close.
func (l *lane) enqueue(list []*Pending) bool {
	l.mu.Lock()
	if l.closing {
		l.mu.Unlock()
		return false
	}
	before := len(l.queue)
	l.queue = append(l.queue, list...)
	now := len(l.queue)
	l.mu.Unlock()
	full := l.client.opts.BatchEventsMax
	if before == 0 || before < full && now >= full { // Between the two nothing changes for run.
		l.nudge()
	}
	return true
}

// overflow resolves p, for which the queue has no room, at once as the policy says, and what waits before it, so that
// it overtakes nothing. ErrOverloaded when the policy says nothing about p, ErrClosed after close.
func (l *lane) overflow(p *Pending) error {
	l.owing.Lock()
	defer l.owing.Unlock()
	l.mu.Lock()
	v, isDecided := l.policy(&p.event)
	if l.closing || !isDecided {
		defer l.mu.Unlock()
		if l.closing {
			return ErrClosed
		}
		return ErrOverloaded
	}
	var waiting []*Pending
	if v.Accepted {
		waiting = l.takeAll(func(*Pending) bool { return true })
	}
	l.mu.Unlock()
	p.claim()
	l.refuse(append(waiting, p), &UnavailableError{Err: ErrOverloaded}, nil)
	l.nudge()
	return nil
}

func (l *lane) close() {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.nudge()
}

func (l *lane) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run is the lane's goroutine; it ends when the client is closed and nothing is left to do.
func (l *lane) run() {
	for l.await() {
		switch {
		case l.paused():
			l.refuseQueue(errPaused, false)
			continue
		case l.isBehind():
			l.refuseQueue(errBehind, false)
		default:
			l.refuseQueue(errQueueTimeout, true)
		}
		b := l.oldest()
		if b == nil {
			l.gather()
			b = l.cut()
			b.encode()
		}
		if b.size.events > 0 {
			l.settle(b, l.client.deliver(b, l.failures >= failuresMax && !l.lastTry))
		}
	}
}

// await blocks until there is something to send; false when there never will be.
func (l *lane) await() bool {
	for {
		l.owing.Lock() // For as long as overflow decides, it is not known whether something is owed.
		l.mu.Lock()
		queued, owed, closing := len(l.queue), len(l.owed), l.closing
		l.mu.Unlock()
		l.owing.Unlock()
		switch {
		case closing && (l.failures == 0 || !l.lastTry):
			l.lastTry = l.failures > 0 // As long as meterd answers, everything is sent.
			return queued+owed > 0
		case closing:
			l.refuseQueue(errPaused, false)
			return false
		case queued > 0:
			return true
		case owed == 0:
			<-l.wake
		default:
			pause := time.Until(l.probeAt)
			if pause <= 0 {
				return true
			}
			l.sleep(pause)
		}
	}
}

// sleep returns after d, or earlier when nudged.
func (l *lane) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.wake:
	}
}

// paused reports whether the lane holds its batches back, because failuresMax in a row got no answer.
func (l *lane) paused() bool {
	if l.failures < failuresMax || !time.Now().Before(l.probeAt) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closing
}

// isBehind reports whether the lane owes so much that what comes must not wait for it.
func (l *lane) isBehind() bool {
	l.owing.Lock()
	defer l.owing.Unlock()
	return len(l.owed) > backlogMax && l.client.opts.OnUnavailable != FailClosed
}

// refuseQueue resolves everything that waits, or only what has waited for longer than Timeout, as the policy says.
func (l *lane) refuseQueue(err error, onlyLate bool) {
	l.owing.Lock()
	defer l.owing.Unlock()
	now := time.Now()
	l.mu.Lock()
	list := l.takeAll(func(p *Pending) bool { return !onlyLate || now.Sub(p.enteredAt) > l.client.opts.Timeout })
	l.mu.Unlock()
	if len(list) > 0 {
		l.refuse(list, &UnavailableError{Err: err}, nil)
	}
}

// gather waits for more events while other requests are in flight, at most Linger from the first event on.
func (l *lane) gather() {
	if l.client.inFlight.Load() == 0 {
		return // Nobody else is asking: waiting would only be delay.
	}
	for {
		l.mu.Lock()
		enough := len(l.queue) == 0 || len(l.queue) >= l.client.opts.BatchEventsMax || l.closing
		var left time.Duration
		if !enough {
			left = l.client.opts.Linger - time.Since(l.queue[0].enteredAt)
		}
		l.mu.Unlock()
		if enough || left <= 0 {
			return
		}
		l.sleep(left)
	}
}

// cut takes the next batch from the queue. It is empty when something is owed meanwhile, which goes first.
func (l *lane) cut() *batch {
	l.owing.Lock()
	defer l.owing.Unlock()
	b := &batch{place: l.client.spool.Place()}
	if len(l.owed) > 0 {
		return b
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.take(func(p *Pending) bool { return b.size.fits(l.client.opts, &p.event) }, func(p *Pending) {
		b.add(&p.event)
		b.pending = append(b.pending, p)
		p.event.Payload = nil // The batch has it until it is encoded.
	})
	return b
}

// take hands what waits to do, in order, as long as fits says so, but for what was given up. mu is held.
func (l *lane) take(fits func(*Pending) bool, do func(*Pending)) {
	taken := 0
	for ; taken < len(l.queue) && fits(l.queue[taken]); taken++ {
		p := l.queue[taken]
		l.client.queue.release(p)
		if p.claim() {
			do(p)
		}
	}
	rest := copy(l.queue, l.queue[taken:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
}

// takeAll returns what waits, in order, as long as fits says so. mu is held.
func (l *lane) takeAll(fits func(*Pending) bool) (list []*Pending) {
	l.take(fits, func(p *Pending) { list = append(list, p) })
	return list
}

// note draws from an outcome when meterd is asked next.
func (l *lane) note(o outcome) {
	switch {
	case o.err == nil:
		l.failures, l.probeAt = 0, time.Time{}
		return
	case o.final:
		l.failures++
	default:
		l.failures += failuresMax
	}
	l.probeAt = time.Now().Add(jittered(min(probeEveryMin<<min(l.failures-1, 10), probeEveryMax)))
}

// settle hands out what b came to.
func (l *lane) settle(b *batch, o outcome) {
	l.note(o)
	switch {
	case b.kept != nil:
		l.settleOwed(b, o)
	case o.err != nil:
		l.owing.Lock()
		defer l.owing.Unlock()
		mayHold := o.err.Ambiguous && !o.final && l.client.opts.OnUnavailable != FailClosed
		if !mayHold || !l.hold(b, o.err) {
			l.client.sequences.settle(b.ticket)
			l.refuse(b.pending, o.err, b)
		}
	default:
		l.client.sequences.settle(b.ticket)
		for i, p := range b.pending {
			l.learn(&p.event, o.verdicts[i])
			p.resolve(o.verdicts[i], nil)
		}
	}
}

// jittered returns d/2 to d, so that lanes and gateways do not come back together.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
