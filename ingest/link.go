package ingest

import (
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
)

// link is a connection that a loop looks after.
type link struct {
	socket socket
	in     []byte // what was read and is not a whole request yet
	isPart bool   // in is the beginning of a request, and was looked at
	pieces int    // reads that in is made of
	out    []byte // of an answer, what the connection did not take yet
	call   *call  // the request in hand, nil if none is
	since  time.Time
	// isReadable says that there may be more to read: the loop hears of it once only. hasEnded says that the client sends
	// nothing more, isEnding that reading will come to that.
	isReadable, isEnding, hasEnded bool
	isUsed                         bool // a request was answered on it
	isGone                         bool // it was closed or handed over: its descriptor may be another connection's by now
}

// isFree reports whether the next request may be looked at.
func (c *link) isFree() bool { return c.call == nil && len(c.out) == 0 && !c.isGone }

// welcome takes over what others gave the loop.
func (l *loop) welcome() bool {
	l.mu.Lock()
	incoming, finished := l.incoming, l.finished
	l.incoming, l.finished = nil, nil
	l.mu.Unlock()
	for _, s := range incoming {
		l.look(s)
	}
	for _, c := range finished {
		l.finish(c)
		l.advance(c)
	}
	return len(incoming)+len(finished) > 0
}

// look begins to look after a connection.
func (l *loop) look(s socket) {
	for int(s) >= len(l.links) {
		l.links = append(l.links, make([]*link, max(256, len(l.links)))...)
	}
	c := &link{socket: s, since: l.now, isReadable: true}
	l.links[s] = c
	if l.ready.add(s) != nil {
		l.handOver(c, nil)
		return
	}
	l.advance(c)
}

// handle goes on with the connections that have something to say.
func (l *loop) handle(events []happening) {
	for i := range events {
		e := &events[i]
		c := l.links[e.Fd]
		if c == nil {
			continue // It was closed since.
		}
		c.isReadable = c.isReadable || mayRead(e)
		c.isEnding = c.isEnding || hasHung(e)
		if len(c.out) > 0 && !l.flush(c) {
			continue
		}
		l.advance(c)
	}
}

// advance reads and decides what the connection has to say, as long as nothing is in hand.
func (l *loop) advance(c *link) {
	var p plain
	for turn := 0; c.isFree() && !l.stopping.Load(); turn++ {
		if turn == turnRequests {
			l.again = append(l.again, c)
			return
		}
		have := copy(l.in, c.in)
		if have == 0 || c.isPart {
			if !c.isReadable {
				return
			}
			n, ok := l.read(c, l.in[have:])
			if have += n; !ok || have == 0 && c.hasEnded {
				l.close(c)
				return
			}
			if n == 0 && !c.hasEnded {
				continue
			}
		}
		b := l.in[:have]
		n, is := p.parse(b)
		switch {
		case is == isPartial && !c.hasEnded && c.pieces < piecesMax && have < len(l.in):
			c.in, c.isPart = append(c.in[:0], b...), true
		case is != isPlain || !l.begin(c, &p):
			l.handOver(c, b)
			return
		default:
			c.in, c.isPart, c.pieces = append(c.in[:0], b[n:]...), false, 0
		}
	}
}

// read reads what the connection has into b. It is not ok if the connection broke.
func (l *loop) read(c *link, b []byte) (n int, ok bool) {
	n, err := c.socket.read(b)
	switch {
	case isNothingYet(err):
		c.isReadable = false
		return 0, true
	case err != nil:
		return 0, false
	case n == 0:
		c.isReadable, c.hasEnded = false, true
		return 0, true
	}
	c.pieces++
	c.since = l.now
	c.isReadable = c.isEnding || n == len(b) // It was less than there was room for: there is no more.
	return n, true
}

// begin decides a request, and answers it if there is nothing to wait for. It returns false, and has done nothing, if
// the request is not a loop's to answer: who has no valid token waits for the answer.
func (l *loop) begin(c *link, p *plain) bool {
	token, problem := access.Authorize(
		l.h.engine.Catalogue(),
		p.authorization.value,
		access.RightEvents,
		l.h.engine.NowMs(),
	)
	if problem != nil {
		return false
	}
	k := l.h.calls.Get().(*call)
	problem = k.header(token, p.contentType.value, p.producer, p.sequence)
	if problem == nil && !k.charge(int64(max(len(p.body), costMin/costFactor))*costFactor) {
		problem = errOverloaded
	}
	if problem == nil {
		problem = k.decode(p.body)
	}
	c.call = k
	switch {
	case problem != nil:
		l.refuse(c, problem)
	case k.readsLedger():
		l.decideAside(c)
	default:
		k.err = l.h.engine.Decide(&k.request)
		l.finish(c)
	}
	if l.company++; l.company >= companyMax {
		l.store()
	}
	return true
}

// readsLedger reports whether deciding may read the disk: for upgrades, whose ids the ledger knows.
func (c *call) readsLedger() bool {
	for i := range c.batch.Events {
		if e := &c.batch.Events[i]; e.ID.Len > 0 && (e.Type == event.OTA || e.Type == event.OTAVoid) {
			return true
		}
	}
	return false
}

// decideAside decides a request without holding up the others.
func (l *loop) decideAside(c *link) {
	go func() {
		c.call.err = l.h.engine.Decide(&c.call.request)
		l.mu.Lock()
		l.finished = append(l.finished, c)
		l.mu.Unlock()
		l.signal()
	}()
}

// finish goes on with a request that was decided.
func (l *loop) finish(c *link) {
	k := c.call
	if k.err == nil && !k.request.IsDurable() {
		l.waiting = append(l.waiting, c)
		if l.unwatched++; l.unwatched == 1 {
			l.company, l.decidedAt = 0, l.now
		}
		return
	}
	l.answer(c)
}

// store has what was decided stored. It returns true if some of it is durable already: then it may be that nothing
// wakes the loop.
func (l *loop) store() (isDurable bool) {
	for _, c := range l.waiting[len(l.waiting)-l.unwatched:] {
		if !l.h.engine.Watch(&c.call.request, l.wake) {
			isDurable = true
		}
	}
	l.unwatched, l.company = 0, 0
	return isDurable
}

// answerDurable answers those whose groups the disk has, and goes on with their connections.
func (l *loop) answerDurable() bool {
	n := 0
	for n < len(l.waiting) && l.waiting[n].call.request.IsDurable() {
		n++
	}
	if n == 0 {
		return false
	}
	// They wait no more before any of them goes on: its next request may be decided at once.
	l.durable = append(l.durable[:0], l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	l.unwatched = min(l.unwatched, len(l.waiting))
	l.isImpatient = false
	for _, c := range l.durable {
		l.answer(c)
		l.advance(c)
	}
	return true
}

// answer answers the request in hand. If nobody knows what became of it, the connection is closed instead.
func (l *loop) answer(c *link) {
	k := c.call
	if k.err == nil {
		k.err = l.h.engine.Settle(&k.request)
	}
	if k.err == nil {
		k.write(&l.response)
		l.send(c)
		return
	}
	if p := shard.ProblemOf(k.err); p != nil {
		l.refuse(c, p)
		return
	}
	l.drop(c)
	l.close(c)
}

func (l *loop) refuse(c *link, p *event.Problem) {
	writeProblem(&l.response, p)
	l.send(c)
}

// drop ends the request in hand.
func (l *loop) drop(c *link) {
	c.call.err = nil
	c.call.release()
	c.call = nil
}

// send sends the response, and is ready for the next request.
func (l *loop) send(c *link) {
	l.drop(c)
	if l.stopping.Load() {
		l.response.SetConnectionClose()
	}
	l.response.Header.SetContentLength(len(l.response.Body()))
	l.out = append(l.response.Header.AppendBytes(l.out[:0]), l.response.Body()...)
	l.response.Reset()
	c.isUsed, c.since = true, l.now
	n, err := c.socket.write(l.out)
	if err != nil {
		l.close(c)
		return
	}
	if n < len(l.out) {
		c.out = append(c.out, l.out[n:]...)
	}
}

// flush sends what the connection did not take before, and reports whether it still exists.
func (l *loop) flush(c *link) bool {
	n, err := c.socket.write(c.out)
	if err != nil {
		l.close(c)
		return false
	}
	c.out = c.out[:copy(c.out, c.out[n:])]
	return true
}

// forget ends looking after a connection; its descriptor is the caller's.
func (l *loop) forget(c *link) {
	l.links[c.socket] = nil
	c.isGone = true
	l.open.Add(-1)
}

func (l *loop) close(c *link) {
	l.forget(c)
	c.socket.close() // It ends watching it, too.
	l.doorman.places.giveBack()
}

// handOver gives a connection to fasthttp, with what was read of its next request.
func (l *loop) handOver(c *link, read []byte) {
	l.forget(c)
	l.ready.remove(c.socket)
	l.doorman.hand(c.socket, read)
}

// sweep closes connections that take too long, and hands over those that began a request and do not go on: fasthttp
// knows how long a request may take. When the loop is being stopped it closes all that have nothing in hand.
func (l *loop) sweep() {
	l.sweptAt = l.now
	for _, c := range l.links {
		if c == nil || c.call != nil {
			continue
		}
		silent := l.now.Sub(c.since)
		switch {
		case l.stopping.Load() && len(c.out) == 0, len(c.out) > 0 && silent >= writeTimeout:
			l.close(c)
		case len(c.in) > 0 && len(c.out) == 0 && silent >= sweepEvery:
			l.handOver(c, c.in)
		case silent >= idleTimeout, !c.isUsed && silent >= readTimeout:
			l.close(c)
		}
	}
}
