package ingest

import (
	"math"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
)

// Hot path: answers of a stream, from their durable groups to the socket. It does not allocate while a stream is busy.

// streamWriter is what writing to a stream needs. The loop owns it.
type streamWriter struct {
	queue       []inFlight // decided, not answered, in order
	isSettling  bool       // a goroutine settles the first of the queue
	pong        []byte     // the payload of the client's last ping
	isPongDue   bool
	isPingDue   bool
	isCreditDue bool
	out         []byte    // what the socket did not take yet
	outSince    time.Time // when it last took some
	outCharged  int64     // bytes of the admission budget for out
	isBroken    bool      // nothing may be written any more
}

// send answers batches that are durable, and says what else there is to say, until the socket takes no more.
func (s *eventStream) send() {
	l := s.loop
	for s.flush() {
		if l.out = s.appendDue(l.out[:0]); len(l.out) == 0 {
			return
		}
		s.write(l.out)
		isTurnOver := len(l.out) >= streamWriteBytes
		if cap(l.out) > bufferBytesKept {
			l.out = nil
		}
		if isTurnOver {
			l.list(s)
			return
		}
	}
}

// appendDue appends what is to be said now, about streamWriteBytes of it at most.
func (s *eventStream) appendDue(b []byte) []byte {
	if s.isPongDue {
		b = websocket.AppendControl(b, websocket.Pong, s.pong)
		s.isPongDue = false
	}
	if s.isPingDue {
		b = websocket.AppendControl(b, websocket.Ping, nil)
		s.isPingDue = false
	}
	if s.isCreditDue {
		b = appendMessage(b, &wire.Frame{Kind: wire.FrameCredit, Body: wire.AppendCount(nil, uint32(s.credit.Load()))})
		s.isCreditDue = false
	}
	select {
	case told := <-s.told:
		if s.isAllowed() { // It may have waited long for the socket.
			b = append(b, told...)
		} else {
			s.finish(revoked())
		}
	default:
	}
	n := 0
	for n < len(s.queue) && len(b) < streamWriteBytes && s.queue[n].isDue() && s.settle(&s.queue[n]) {
		b = s.respond(b, &s.queue[n])
		n++
	}
	if n > 0 {
		left := copy(s.queue, s.queue[n:])
		clear(s.queue[left:])
		s.queue = s.queue[:left]
		s.setCredit()
	}
	return b
}

// isDue reports whether the batch can be answered.
func (d *inFlight) isDue() bool {
	return d.call == nil || d.call.isStored || d.call.request.Elsewhere != nil && d.call.request.IsDurable()
}

// setCredit has the client told how many batches it may have in flight, if that is not what it knows.
func (s *eventStream) setCredit() {
	before := s.credit.Load()
	if credit := s.h.admission.credit(before); credit != before {
		s.credit.Store(credit)
		s.isCreditDue = true
	}
}

// settle settles a batch that is durable and makes its answer: in a goroutine, if the batch is large or its answer is
// read from the ledger. It returns false if that has not ended.
func (s *eventStream) settle(d *inFlight) bool {
	c := d.call
	switch {
	case c == nil || d.isSettled:
		return true
	case s.isSettling:
		return false
	case len(c.batch.Events) > streamEventsInLoop || c.request.ReadsLedger():
		s.isSettling = true
		go func() {
			c.settle()
			s.isSettleDone.Store(true)
			s.loop.post(news{stream: s})
		}()
		return false
	}
	c.settle()
	return true
}

// settle is the engine's Settle, and makes the answer.
func (c *call) settle() {
	if c.err = c.h.engine.Settle(&c.request); c.err == nil {
		c.answer = c.format.answer(c.answer[:0], &c.request.Result)
	}
}

// respond appends the answer to a batch that is settled, and gives its memory back. After an error that says nothing
// about what was stored nothing is written any more.
func (s *eventStream) respond(b []byte, d *inFlight) []byte {
	s.inFlight.Add(-1) // Before the answer is sent: a client that reads it may send the next batch at once.
	s.inFlightBytes.Add(-d.bytes)
	f := wire.Frame{Sequence: d.sequence, Kind: wire.FrameAnswer}
	c, problem := d.call, d.problem
	if c != nil {
		f.Body, f.Replayed = c.answer, c.request.Replayed
		if c.err != nil {
			if problem = shard.ProblemOf(c.err); problem == nil {
				s.breakOff()
			}
		}
	}
	if problem != nil {
		f.Kind, f.Replayed = wire.FrameProblem, false
		f.Body = wire.AppendRefusal(nil, problem, retryAfterMs(problem))
	}
	if !s.isBroken {
		b = appendMessage(b, &f)
	}
	if c != nil {
		c.err = nil
		c.release()
	}
	return b
}

// retryAfterMs returns a jittered time after which a refused batch may be sent again, 0 if that does not help.
func retryAfterMs(p *event.Problem) uint32 {
	if p.Code.Status() != event.Overloaded.Status() {
		return 0
	}
	return event.RetryAfterMs()
}

// appendMessage appends a frame as one message.
func appendMessage(b []byte, f *wire.Frame) []byte {
	h := websocket.Header{Opcode: websocket.Binary, Final: true, Length: uint64(f.Bytes())}
	return wire.AppendFrame(websocket.AppendHeader(b, h), f)
}

// write sends b; what the socket does not take is kept for flush, which must have returned true before.
func (s *eventStream) write(b []byte) {
	if s.isBroken {
		return
	}
	n, err := s.carrier.write(b)
	switch {
	case err != nil:
		s.breakOff()
	case n < len(b):
		s.out, s.outSince = append(s.out[:0], b[n:]...), s.loop.now
		s.chargeOut()
	}
}

// chargeOut charges what the client has not read yet, if it is large: as much as its batches were charged for at most,
// which were given back just before. So answers that nobody reads take no more memory than requests do.
func (s *eventStream) chargeOut() {
	before := s.outCharged
	if s.outCharged = 0; cap(s.out) > streamOutKept {
		s.outCharged = int64(cap(s.out))
	}
	s.h.admission.used.Add(s.outCharged)
	s.h.admission.give(before)
}

// flush sends what the socket did not take before, and reports whether it takes more now.
func (s *eventStream) flush() bool {
	if len(s.out) == 0 || s.isBroken {
		return true
	}
	n, err := s.carrier.write(s.out)
	if err != nil {
		s.breakOff()
		return true
	}
	if n < len(s.out) {
		if n > 0 && s.ending == nil { // A client that reads is waited for, but not at the end of its stream.
			s.outSince = s.loop.now
		}
		s.out = s.out[:copy(s.out, s.out[n:])]
		return false
	}
	if s.out = s.out[:0]; cap(s.out) > streamOutKept {
		s.out = nil
	}
	s.chargeOut()
	return true
}

// breakOff ends the stream without another word. What was decided is still settled.
func (s *eventStream) breakOff() {
	s.isBroken, s.out = true, nil
	s.chargeOut()
	s.finish(&ending{isSilent: true})
}

// finish makes the stream end: nothing more is read, what was decided is answered, and the client is told why. The
// first reason counts.
func (s *eventStream) finish(e *ending) {
	if s.ending != nil {
		return
	}
	s.ending = e
	close(s.over)
	s.loop.list(s)
}

// conclude closes a stream that ends as soon as nothing is left to answer.
func (s *eventStream) conclude() {
	if s.isAside || len(s.queue) > 0 || len(s.out) > 0 {
		return
	}
	if s.isBroken || s.ending.isSilent {
		s.close()
		return
	}
	if !s.isClosing {
		s.isClosing, s.closeBy, s.left = true, s.loop.now.Add(lingerFor), lingerBytesMax
		s.loop.out = websocket.AppendClose(s.loop.out[:0], s.ending.code, s.ending.reason)
		s.write(s.loop.out)
	}
	switch {
	case s.isBroken || s.ending.isClients && len(s.out) == 0:
		s.close()
	case len(s.out) == 0:
		s.passOver()
	}
}

// passOver discards what the client still sends until it has answered the close frame: data on a closed connection is
// answered with a reset, which may overtake the last answers. sweep bounds the time.
func (s *eventStream) passOver() {
	for {
		skipped := min(int64(s.to-s.from), s.skip)
		s.from += int(skipped)
		s.skip -= skipped
		h, n, err := websocket.ParseHeader(s.in[s.from:s.to])
		switch {
		case err != nil && s.ending.code == websocket.CloseProtocol:
			s.skip = math.MaxInt64 // What is no frame cannot be passed over: the connection is read to its end.
			continue
		case err != nil || n > 0 && h.Opcode == websocket.Close:
			s.close()
			return
		case n > 0:
			s.from += n
			s.skip = int64(min(h.Length, lingerBytesMax))
			continue
		}
		if s.from > 0 {
			s.to, s.from = copy(s.in, s.in[s.from:s.to]), 0
		}
		if !s.isReadable {
			return
		}
		room := s.in[s.to:]
		n, err = s.carrier.read(room)
		if isNothingYet(err) {
			s.isReadable = false
			return
		}
		if s.left -= int64(n); err != nil || n == 0 || s.left <= 0 {
			s.close()
			return
		}
		s.to += n
		s.isReadable = n == len(room) || s.hasHung.Load()
	}
}
