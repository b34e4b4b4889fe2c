package client

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// lane keeps the order of its devices: one queue, one batch in flight, both worked by one goroutine (run).
type lane struct {
	client *Client
	wake   chan struct{} // one token: look again

	mu      sync.Mutex
	queue   []*Pending // in the order in which events were handed in
	owed    tally
	known   map[deviceKey]known // with LastKnown
	closing bool

	// Only run and what it calls touch these.
	failures int       // batches in a row without an answer; one that was tried for all of Timeout counts as failuresMax
	probeAt  time.Time // not before this is meterd asked for what a lane with failures owes
	lastTry  bool      // closing, and what is owed was tried once more
	held     *batch    // passed unasked after it was asked about without an answer: it is asked about before anything else
}

// errQueueTimeout is why an event failed that waited longer than Timeout for its turn.
var errQueueTimeout = errors.New("waited too long for its turn")

// errPaused is why an event failed that came while its lane leaves a dead meterd alone.
var errPaused = errors.New("the last requests failed; it is asked again soon")

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

// decideUnasked resolves p at once as the policy says, and keeps what passes to be reported. ErrOverloaded when it says
// nothing, ErrClosed after close.
func (l *lane) decideUnasked(p *Pending) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return ErrClosed
	}
	v, isDecided := l.policy(&p.event)
	if !isDecided {
		return ErrOverloaded
	}
	if v.Accepted {
		l.owe(&p.event)
		l.nudge()
	}
	p.claim()
	p.resolve(v, nil)
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
		if l.paused() {
			l.refuseQueue()
			continue
		}
		b := l.held
		if b == nil {
			l.gather()
			b = l.cut()
			b.encode()
		}
		if len(b.entries) > 0 {
			l.settle(b, l.client.deliver(b, l.failures >= failuresMax && !l.lastTry))
		}
	}
}

// await blocks until there is something to send; false when there never will be.
func (l *lane) await() bool {
	for {
		l.mu.Lock()
		queued, owed, closing := len(l.queue), l.owed.events, l.closing
		l.mu.Unlock()
		switch {
		case queued > 0:
			return true
		case closing:
			again := owed > 0 && !l.lastTry
			l.lastTry = l.failures > 0 // As long as meterd answers, all that is owed is reported.
			return again
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

// refuseQueue fails everything that waits, in order.
func (l *lane) refuseQueue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.queue {
		l.client.queue.release(p.bytes)
		if p.claim() {
			l.fail(p, &UnavailableError{Err: errPaused})
		}
	}
	clear(l.queue)
	l.queue = l.queue[:0]
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

// cut takes the next batch: the queue in order, each event behind what is owed about its device, then what else is
// owed.
func (l *lane) cut() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := &batch{}
	now := time.Now()
	taken := 0
	for _, p := range l.queue {
		if d := l.owed.devices[deviceKey{p.event.Product, p.event.Device}]; d != nil && !l.takeOwed(b, d) {
			break // Its older events fill the batch; it must not overtake them.
		}
		if b.full(l.client.opts, p.event.encodedMax()) {
			break
		}
		taken++
		l.client.queue.release(p.bytes)
		switch {
		case !p.claim():
		case now.Sub(p.enteredAt) > l.client.opts.Timeout:
			l.fail(p, &UnavailableError{Err: errQueueTimeout})
		default:
			b.add(&p.event, entry{pending: p})
			p.event.Payload = nil // The batch has it until it is encoded.
		}
	}
	rest := copy(l.queue, l.queue[taken:])
	clear(l.queue[rest:])
	l.queue = l.queue[:rest]
	if rest == 0 && l.owed.events > 0 && (l.closing || !now.Before(l.probeAt)) {
		for _, d := range l.owed.devices {
			if !l.takeOwed(b, d) {
				break
			}
		}
	}
	return b
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
	l.mu.Lock()
	if o.err != nil && o.err.Ambiguous && !o.final && l.client.opts.OnUnavailable != FailClosed && l.hold(b, o.err) {
		l.mu.Unlock()
		return
	}
	l.held = nil
	l.client.sequences.settle(b.ticket)
	for i := range b.entries {
		en := &b.entries[i]
		switch {
		case en.pending != nil && o.err == nil:
			l.learn(&en.pending.event, o.verdicts[i])
			en.pending.resolve(o.verdicts[i], nil)
		case en.pending != nil:
			l.fail(en.pending, o.err)
		case en.owed == nil: // It was told something when the batch was held.
		case o.err == nil:
			e := en.owed.event(en.record)
			l.learn(&e, o.verdicts[i])
		case !o.err.Ambiguous || repeatable(en.record.typ):
			en.owed.kept = append(en.owed.kept, en.record)
		default:
			l.client.stats.ambiguous.Add(1)
		}
	}
	l.settleOwed(b)
	l.mu.Unlock()
	if o.err != nil || l.client.opts.Reported == nil {
		return
	}
	for i := range b.entries {
		if d := b.entries[i].owed; d != nil {
			l.client.opts.Reported(d.event(b.entries[i].record), o.verdicts[i])
		}
	}
}

// fail resolves p, which was claimed, as the policy says. An event that may have been counted is never reported later
// with another sequence, unless repeating it counts nothing. The mutex is held.
func (l *lane) fail(p *Pending, err *UnavailableError) {
	again := !err.Ambiguous || repeatable(p.event.Type)
	if !again {
		l.client.stats.ambiguous.Add(1)
	}
	v, isDecided := l.policy(&p.event)
	if !isDecided {
		p.resolve(Verdict{}, err)
		return
	}
	if again && v.Accepted {
		l.owe(&p.event)
	}
	p.resolve(v, nil)
}

// jittered returns d/2 to d, so that lanes and gateways do not come back together.
func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
