package ingest

import (
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
)

// loopConn is a connection that a loop serves.
type loopConn struct {
	socket socket
	stream *eventStream // what the connection has become; the other fields are of no meaning then
	in     []byte       // bytes that were read and not answered yet
	isPart bool         // in was parsed: it is the beginning of a request
	pieces int          // the number of reads that filled in
	out    []byte       // the rest of an answer that the socket did not take yet
	call   *call        // the request that is being decided or stored; nil if there is none
	since  time.Time
	// isReadable means that there may be more to read; epoll reports that only once. hasEnded means that the client
	// sends nothing more, isEnding that reading will end.
	isReadable, isEnding, hasEnded bool
	isUsed                         bool // a request was answered on it
	isGone                         bool // closed or handed over: its descriptor may be another connection's now
}

// isFree reports whether the next request may be read.
func (c *loopConn) isFree() bool { return c.call == nil && len(c.out) == 0 && !c.isGone }

// takeIncoming takes new connections and requests that other goroutines have decided. It reports whether there were
// any.
func (l *loop) takeIncoming() bool {
	l.mu.Lock()
	incoming, finished, posted := l.incoming, l.finished, l.streams.posted
	l.incoming, l.finished, l.streams.posted = nil, nil, nil
	l.mu.Unlock()
	for _, s := range incoming {
		l.register(s)
	}
	for _, c := range finished {
		l.finish(c)
		l.advance(c)
	}
	l.takePosted(posted)
	return len(incoming)+len(finished)+len(posted) > 0
}

// watchSocket has events of c's socket handled.
func (l *loop) watchSocket(c *loopConn) error {
	for int(c.socket) >= len(l.conns) {
		l.conns = append(l.conns, make([]*loopConn, max(256, len(l.conns)))...)
	}
	l.conns[c.socket] = c
	return l.poller.add(c.socket)
}

// register begins to serve a connection.
func (l *loop) register(s socket) {
	c := &loopConn{socket: s, since: l.now, isReadable: true}
	if l.watchSocket(c) != nil {
		l.handOver(c, nil)
		return
	}
	l.advance(c)
}

// handle continues with the connections that epoll reported.
func (l *loop) handle(events []epollEvent) {
	for i := range events {
		e := &events[i]
		c := l.conns[e.Fd]
		if c == nil {
			continue // It was closed after the event.
		}
		if s := c.stream; s != nil {
			if hasHung(e) {
				s.hasHung.Store(true)
			}
			if mayRead(e) {
				s.mayRead()
			}
			l.list(s)
			continue
		}
		c.isReadable = c.isReadable || mayRead(e)
		c.isEnding = c.isEnding || hasHung(e)
		if len(c.out) > 0 && !l.flush(c) {
			continue
		}
		l.advance(c)
	}
}

// advance reads and decides requests of the connection until one has to wait, until there are no more, or until its
// turn is over.
func (l *loop) advance(c *loopConn) {
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

// read reads from the connection into b. ok is false if the connection is broken.
func (l *loop) read(c *loopConn, b []byte) (n int, ok bool) {
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
	c.isReadable = c.isEnding || n == len(b) // A read that does not fill b has emptied the socket.
	return n, true
}

// begin decides a request, and answers it if nothing has to be stored. It returns false, and has done nothing, if the
// token is not valid: fasthttp's goroutine answers that request late.
func (l *loop) begin(c *loopConn, p *plain) bool {
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
	problem = k.header(token, formatOf(p.contentType.value), p.producer, p.sequence)
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
	l.count()
	return true
}

// count counts a request that was read, and has what was decided stored if it has waited for enough of them.
func (l *loop) count() {
	if l.sinceFirst++; l.sinceFirst >= batchRequestsMax {
		l.store()
	}
}

// readsLedger reports whether deciding may read the ledger from disk: it does for OTAs with ids.
func (c *call) readsLedger() bool {
	for i := range c.batch.Events {
		if e := &c.batch.Events[i]; e.ID.Len > 0 && (e.Type == event.OTA || e.Type == event.OTAVoid) {
			return true
		}
	}
	return false
}

// decideAside decides a request in a goroutine of its own, so that a read from disk does not delay other requests.
func (l *loop) decideAside(c *loopConn) {
	go func() {
		c.call.err = l.h.engine.Decide(&c.call.request)
		l.mu.Lock()
		l.finished = append(l.finished, c)
		l.mu.Unlock()
		l.signal()
	}()
}

// finish continues after a request was decided: it waits for its group, or is answered.
func (l *loop) finish(c *loopConn) {
	k := c.call
	if k.err == nil && !k.request.IsDurable() {
		l.await(pending{call: k, conn: c})
		return
	}
	l.answer(c)
}

// await has p answered when its group is durable.
func (l *loop) await(p pending) {
	l.waiting = append(l.waiting, p)
	if l.unwatched++; l.unwatched == 1 {
		l.sinceFirst, l.decidedAt = 0, l.now
	}
}

// store asks the engine to store the requests that were decided since the last call. It returns true if some of them
// are durable already: no wake-up comes for those.
func (l *loop) store() (isDurable bool) {
	for i := len(l.waiting) - l.unwatched; i < len(l.waiting); i++ {
		if !l.h.engine.Watch(&l.waiting[i].call.request, l.wake) {
			isDurable = true
		}
	}
	l.unwatched, l.sinceFirst = 0, 0
	return isDurable
}

// answerDurable answers the requests whose groups are durable, and continues with their connections. Streams are
// listed.
func (l *loop) answerDurable() bool {
	n := 0
	for n < len(l.waiting) && l.waiting[n].call.request.IsDurable() {
		n++
	}
	if n == 0 {
		return false
	}
	// All of them leave waiting first: advance may append to it.
	l.durable = append(l.durable[:0], l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	l.unwatched = min(l.unwatched, len(l.waiting))
	l.hasTimedOut = false
	for _, p := range l.durable {
		if p.stream != nil {
			p.call.isStored = true
			l.list(p.stream)
			continue
		}
		l.answer(p.conn)
		l.advance(p.conn)
	}
	return true
}

// answer answers the request of c. If it is unknown whether it was stored, the connection is closed without an answer.
func (l *loop) answer(c *loopConn) {
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

func (l *loop) refuse(c *loopConn, p *event.Problem) {
	writeProblem(&l.response, p)
	l.send(c)
}

// drop ends the request of c.
func (l *loop) drop(c *loopConn) {
	c.call.err = nil
	c.call.release()
	c.call = nil
}

// send sends the response and ends the request.
func (l *loop) send(c *loopConn) {
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

// flush sends the rest of an answer. It returns false if the connection broke and was closed.
func (l *loop) flush(c *loopConn) bool {
	n, err := c.socket.write(c.out)
	if err != nil {
		l.close(c)
		return false
	}
	c.out = c.out[:copy(c.out, c.out[n:])]
	return true
}

// forget stops serving a connection; the caller owns its descriptor then.
func (l *loop) forget(c *loopConn) {
	l.conns[c.socket] = nil
	c.isGone = true
	l.open.Add(-1)
}

func (l *loop) close(c *loopConn) {
	l.forget(c)
	c.socket.close() // This removes it from epoll, too.
	l.dispatcher.limit.release()
}

// handOver gives a connection to fasthttp, together with the bytes that were read of its next request.
func (l *loop) handOver(c *loopConn, read []byte) {
	l.forget(c)
	l.poller.remove(c.socket)
	l.dispatcher.giveToHTTP(c.socket, read)
}

// sweep closes connections that are idle or read too slowly. A connection that began a request and sent no more for a
// while goes to fasthttp, which has the timeouts of slow requests. When the loop is stopping, sweep closes every
// connection without a request.
func (l *loop) sweep() {
	l.sweptAt = l.now
	l.sweepStreams()
	for _, c := range l.conns {
		if c == nil || c.call != nil || c.stream != nil {
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
