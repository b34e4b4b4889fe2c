package ingest

import (
	"net"

	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
)

// streamsOfLoop are the event streams of a loop. The loop's goroutine owns the fields, but for posted.
type streamsOfLoop struct {
	open    map[*eventStream]struct{}
	posted  []news          // guarded by the loop's mu: of other goroutines
	listed  []*eventStream  // there is something to do for them
	asides  int             // goroutines that decide messages
	closing <-chan struct{} // closed when the daemon stops; nil once the streams have been told
}

// news is what another goroutine has for a stream: a batch that it decided, the end of aside, or what the stream's
// fields say.
type news struct {
	stream     *eventStream
	decided    inFlight // if isBatch is true
	ending     *ending  // if isAsideEnd is true: why the stream ends, nil if it does not
	isBatch    bool
	isAsideEnd bool
}

// carry returns what moves the bytes of conn for a stream of the loop.
func (l *loop) carry(conn net.Conn, s *eventStream) carrier {
	if l.poller != nil {
		if own, ok := detach(conn); ok {
			return own
		}
	}
	return newRelay(conn, l.h.streams.closing, func() { l.post(news{stream: s}) })
}

// post tells the loop the news, in this order. Any goroutine may call it.
func (l *loop) post(list ...news) {
	l.mu.Lock()
	l.streams.posted = append(l.streams.posted, list...)
	l.mu.Unlock()
	l.signal()
}

// list has the loop run s in this step, or in the next one.
func (l *loop) list(s *eventStream) {
	if !s.isListed {
		s.isListed = true
		l.streams.listed = append(l.streams.listed, s)
	}
}

// takePosted takes the news of other goroutines.
func (l *loop) takePosted(posted []news) {
	for i := range posted {
		n := &posted[i]
		s := n.stream
		switch l.list(s); {
		case s.isGone:
			continue
		case n.isBatch:
			s.enqueue(&n.decided)
			continue
		case n.isAsideEnd:
			s.finishAside(n.ending)
			continue
		case !s.isOpen:
			l.openStream(s)
		}
		if _, isRelay := s.carrier.(*relay); isRelay {
			s.mayRead()
		}
		if s.isSettleDone.Swap(false) {
			s.isSettling, s.queue[0].isSettled = false, true
		}
		if e := s.stopped.Swap(nil); e != nil {
			s.finish(e)
		}
	}
}

// mayRead notes that there may be something to read.
func (s *eventStream) mayRead() {
	if s.isAside {
		s.wasReadable = true
	} else {
		s.isReadable = true
	}
}

// openStream begins to serve s.
func (l *loop) openStream(s *eventStream) {
	l.streams.open[s] = struct{}{}
	s.isOpen, s.isReadable, s.heardAt, s.pingedAt = true, true, l.now, l.now
	l.out = appendMessage(l.out[:0], &wire.Frame{Kind: wire.FrameWelcome, Body: wire.AppendWelcome(nil, &s.welcome)})
	s.write(l.out)
	switch c := s.carrier.(type) {
	case *relay:
		c.start()
	case ownSocket:
		if l.watchSocket(&loopConn{socket: c.socket, stream: s}) != nil {
			s.breakOff()
		}
	}
	go s.tell()
	if l.streams.closing == nil {
		s.finish(goingAway())
	}
}

// runStreams does what there is to do for streams that were listed, a limited number of them: requests and answers that
// came meanwhile are looked at in between. It reports whether there was any.
func (l *loop) runStreams() bool {
	n := min(len(l.streams.listed), streamsATurn)
	for _, s := range l.streams.listed[:n] {
		s.isListed = false
		s.run()
	}
	left := copy(l.streams.listed, l.streams.listed[n:])
	clear(l.streams.listed[left:])
	l.streams.listed = l.streams.listed[:left]
	return n > 0
}

// run does all that can be done for a stream without waiting.
func (s *eventStream) run() {
	if s.isGone {
		return
	}
	if s.isHeld {
		s.isHeld, s.heardAt = false, s.loop.now
	}
	if s.isClosing {
		s.flush()
	} else {
		s.send()
		s.advance()
		s.send()
		if s.isHeld && !s.mustHold() { // What was sent last waits for no group: nothing else lists the stream again.
			s.loop.list(s)
		}
	}
	if s.ending != nil {
		s.conclude()
	}
}

// endStreams has all streams of the loop end, because the daemon stops.
func (l *loop) endStreams() {
	l.streams.closing = nil
	for s := range l.streams.open {
		s.outSince = l.now // From now on a write may take streamCloseTimeout.
		if r, isRelay := s.carrier.(*relay); isRelay {
			r.hurry()
		}
		s.finish(goingAway())
	}
}

func goingAway() *ending {
	return &ending{code: websocket.CloseGoingAway, reason: "meterd stops; connect again"}
}

// sweepStreams pings streams, and ends those of slow and of silent clients.
func (l *loop) sweepStreams() {
	writeTimeout := streamWriteTimeout
	if l.streams.closing == nil {
		writeTimeout = streamCloseTimeout
	}
	for s := range l.streams.open {
		switch {
		case len(s.out) > 0 && l.now.Sub(s.outSince) >= writeTimeout:
			s.breakOff()
			l.list(s)
		case s.isClosing && !l.now.Before(s.closeBy):
			s.close()
		case s.ending == nil:
			s.sweep()
		}
	}
}

// sweep pings the client, and ends the stream if nothing came for too long or if its token is not valid any more.
func (s *eventStream) sweep() {
	now := s.loop.now
	isReading := !s.isAside && !s.isHeld
	switch {
	case isReading && !s.partSince.IsZero() && now.Sub(s.partSince) >= readTimeout:
		s.finish(
			violates(websocket.ClosePolicy, "less than %d bytes of a message came within %s", progressBytes, readTimeout),
		)
	case isReading && s.partSince.IsZero() && now.Sub(s.heardAt) >= streamIdleTimeout:
		s.finish(violates(websocket.ClosePolicy, "nothing came within %s, not even a pong", streamIdleTimeout))
	case now.Sub(s.pingedAt) >= heartbeatEvery:
		s.pingedAt, s.isPingDue = now, true
		if len(s.queue) == 0 {
			s.queue = nil // An idle stream does not need it.
		}
		if !s.isAllowed() {
			s.finish(revoked())
		}
		s.loop.list(s)
	}
	if s.setCredit(); s.isCreditDue {
		s.loop.list(s)
	}
}

// close closes the connection. Everything that was decided is settled.
func (s *eventStream) close() {
	s.isGone = true
	s.h.admission.give(s.charged + s.ahead + int64(cap(s.fragments)))
	s.charged, s.ahead, s.fragments = 0, 0, nil
	if own, ok := s.carrier.(ownSocket); ok {
		s.loop.conns[own.socket] = nil
	}
	s.carrier.close()
	delete(s.loop.streams.open, s)
	s.loop.open.Add(-1)
	s.h.events.leave()
}
