package ingest

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// Hot path: batches of a stream, from the socket to their decision. It does not allocate while a stream is busy.

type closeCode = websocket.Code

// streamReader is what the reader of a stream owns.
type streamReader struct {
	in       []byte // the buffer; what is not decided yet is in[from:to]
	from, to int
	need     int   // bytes from `from` on that make the next step possible
	charged  int64 // bytes of the admission budget for in
	ahead    int64 // bytes of the admission budget for the call of the message that is being read
	idle     [streamBufferIdle]byte
	isBusy   bool // a batch came since the buffer was last empty
	isFull   bool // the last read filled the buffer

	fragments  []byte // the message so far
	isFragment bool   // its last fragment has not come
	partSince  time.Time
	partBytes  int

	turn []inFlight // decided, not in the queue yet
}

// receive reads until the stream ends.
func (s *eventStream) receive() {
	var e *ending
	for e == nil {
		e = s.take()
		s.store()
		if e == nil {
			e = s.readMore()
		}
	}
	s.h.admission.give(s.charged + s.ahead + int64(cap(s.fragments)))
	s.fragments = nil
	s.mu.Lock()
	s.end = e
	s.mu.Unlock()
	close(s.read)
	signal(s.wake)
}

// signal makes sure that who waits on c runs once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func violates(code closeCode, format string, args ...any) *ending {
	return &ending{code: code, reason: fmt.Sprintf(format, args...)}
}

// take handles the frames that have arrived whole. It returns why the stream ends, nil if it does not.
func (s *eventStream) take() *ending {
	for {
		b := s.in[s.from:s.to]
		h, n, err := websocket.ParseHeader(b)
		if err != nil {
			return violates(websocket.CloseProtocol, "this is no WebSocket frame: %v", err)
		}
		if n == 0 {
			s.need = len(b) + 1
			return nil
		}
		if e := s.check(&h); e != nil {
			return e
		}
		whole := n + int(h.Length)
		if s.need = whole; whole > len(b) {
			return nil
		}
		s.from += whole
		s.partSince = time.Time{}
		payload := b[n:whole]
		websocket.Mask(payload, h.Mask)
		if e := s.frame(&h, payload); e != nil {
			return e
		}
	}
}

// check refuses a frame that may not come here, before its payload is read.
func (s *eventStream) check(h *websocket.Header) *ending {
	switch {
	case !h.Masked:
		return violates(websocket.CloseProtocol, "frames of a client must be masked")
	case h.Opcode.IsControl():
		return nil
	case h.Opcode == websocket.Text:
		return violates(websocket.CloseUnsupported, "send binary messages, each a meterd.v1.Frame")
	case (h.Opcode == websocket.Continuation) != s.isFragment:
		return violates(websocket.CloseProtocol, "a fragment belongs to no message, or a message is not ended")
	case h.Length > uint64(streamFrameBytesMax-len(s.fragments)):
		return violates(websocket.CloseTooBig, "a message may have %d bytes", streamFrameBytesMax)
	}
	return nil
}

// frame handles one WebSocket frame.
func (s *eventStream) frame(h *websocket.Header, payload []byte) *ending {
	switch h.Opcode {
	case websocket.Ping:
		s.mu.Lock()
		s.pong = append(s.pong[:0:0], payload...)
		if s.pong == nil {
			s.pong = []byte{}
		}
		s.mu.Unlock()
		signal(s.wake)
		return nil
	case websocket.Pong:
		return nil
	case websocket.Close:
		code, _, err := websocket.ParseClose(payload)
		if err != nil {
			return violates(websocket.CloseProtocol, "%v", err)
		}
		return &ending{code: code, isClients: true}
	}
	if h.Final && !s.isFragment {
		return s.message(payload)
	}
	if !s.h.admission.take(int64(len(payload))) {
		return violates(closeTryAgain, "there is no memory for a message in fragments")
	}
	before := cap(s.fragments)
	s.fragments = append(s.fragments, payload...)
	s.h.admission.give(int64(len(payload) - (cap(s.fragments) - before))) // What append takes beyond is charged, too.
	if s.isFragment = !h.Final; s.isFragment {
		return nil
	}
	e := s.message(s.fragments)
	s.h.admission.give(int64(cap(s.fragments)))
	s.fragments = nil
	return e
}

// closeTryAgain is the WebSocket code of an overloaded server.
const closeTryAgain closeCode = 1013

// message handles one message of the client: a batch, or an ack of commands.
func (s *eventStream) message(b []byte) *ending {
	f, err := wire.DecodeFrame(b)
	if err != nil {
		return violates(websocket.CloseInvalid, "a message is no meterd.v1.Frame: %v", err)
	}
	switch f.Kind {
	case wire.FrameBatch:
		return s.batch(&f, int64(len(b)))
	case wire.FrameAck:
		n, err := wire.DecodeCount(f.Body)
		if err != nil {
			return violates(websocket.CloseInvalid, "an ack is no meterd.v1.Ack: %v", err)
		}
		s.mu.Lock()
		s.acked += min(n, streamCommandsCredit-min(s.acked, streamCommandsCredit))
		s.mu.Unlock()
		signal(s.wake)
		return nil
	}
	return violates(websocket.ClosePolicy, "a gateway sends batches and acks, nothing else")
}

// batch decides a batch whose message has size bytes.
func (s *eventStream) batch(f *wire.Frame, size int64) *ending {
	n, inFlightBytes := s.inFlight.Load(), s.inFlightBytes.Load()
	switch {
	case n >= streamCredit:
		return violates(websocket.ClosePolicy, "%d batches wait for their answers, as many as Welcome allows", n)
	case n > 0 && inFlightBytes+size > streamCreditBytes:
		return violates(websocket.ClosePolicy, "over %d bytes wait for their answers", int64(streamCreditBytes))
	}
	s.isBusy = true
	c, e := s.admit(f)
	if e != nil {
		return e
	}
	problem := s.decode(c, f)
	if problem == nil {
		if c.readsLedger() {
			s.store() // What was decided before does not wait for this read.
		}
		if err := s.h.engine.Decide(&c.request); err != nil {
			if problem = shard.ProblemOf(err); problem == nil {
				c.release()
				return &ending{isSilent: true}
			}
		}
	}
	decided := inFlight{call: c, problem: problem, sequence: f.Sequence, bytes: size}
	if problem != nil {
		c.release()
		decided.call = nil
	}
	s.inFlight.Add(1)
	s.inFlightBytes.Add(size)
	s.turn = append(s.turn, decided)
	if problem != nil && problem.Code == event.Unauthorized {
		return violates(websocket.ClosePolicy, "%s", problem.Detail)
	}
	return nil
}

// admit waits until another batch may be in flight and there is memory for it, and returns the call that holds it.
func (s *eventStream) admit(f *wire.Frame) (*call, *ending) {
	for s.inFlight.Load() >= s.credit.Load() {
		s.store()
		select {
		case <-s.room:
		case <-s.over:
			return nil, &ending{isSilent: true}
		}
	}
	need := max(0, int64(max(len(f.Body), costMin/costFactor))*costFactor-s.ahead)
	if !s.h.admission.take(need) {
		s.store()
		signal(s.wake) // The writer lowers the credit.
		if !s.h.admission.await(need, s.over) {
			return nil, &ending{isSilent: true}
		}
	}
	c := s.h.calls.Get().(*call)
	c.charged = s.ahead + need
	s.ahead = 0
	return c, nil
}

// decode makes the call one of the batch in f.
func (s *eventStream) decode(c *call, f *wire.Frame) *event.Problem {
	c.format = s.format
	c.request.Token, c.request.Account, c.request.Producer = s.token, s.token.AccountID, s.who.Producer
	c.request.Claim = nil
	if f.Sequence != 0 {
		if !s.who.HasProducer {
			return &event.Problem{
				Code:   event.InvalidArgument,
				Field:  "producer",
				Detail: "producer: is needed with a sequence; open the stream with it",
			}
		}
		c.claim = claims.Claim{Sequence: f.Sequence}
		c.request.Claim = &c.claim
	}
	problem := c.decode(f.Body)
	if problem == errOverloaded { // There was no memory for the events. All of it is waited for at once.
		need := c.charged + int64(len(c.batch.Events))*eventCost
		s.h.admission.give(c.charged)
		c.charged = 0
		s.store()
		if s.h.admission.await(need, s.over) {
			c.charged, problem = need, nil
		}
	}
	return problem
}

// store puts what was decided into the queue and has it stored. The writer is woken when it is durable.
func (s *eventStream) store() {
	if len(s.turn) == 0 {
		return
	}
	isDue := false
	s.mu.Lock() // The writer takes nothing from the queue, and gives no call away, before it is watched.
	for i := range s.turn {
		c := s.turn[i].call
		isDue = c == nil || !s.h.engine.Watch(&c.request, s.wake) || isDue
	}
	s.queue = append(s.queue, s.turn...)
	s.mu.Unlock()
	clear(s.turn)
	s.turn = s.turn[:0]
	if isDue {
		signal(s.wake)
	}
}

// readMore reads what has arrived, at least one byte.
func (s *eventStream) readMore() *ending {
	if !s.makeRoom() {
		return &ending{isSilent: true}
	}
	now := time.Now()
	deadline := now.Add(streamIdleTimeout)
	if isPart := s.to > s.from || s.isFragment; isPart {
		if s.partSince.IsZero() || s.partBytes >= progressBytes {
			s.partSince, s.partBytes = now, 0
		}
		deadline = s.partSince.Add(readTimeout)
	}
	_ = s.conn.SetReadDeadline(deadline) // It fails on a closed connection, as reading will.
	select {
	case <-s.over: // After the deadline was set: who closes over sets it anew.
		return &ending{isSilent: true}
	default:
	}
	n, err := s.conn.Read(s.in[s.to:])
	s.to += n
	s.partBytes += n
	s.isFull = s.to == len(s.in)
	switch {
	case n > 0 || err == nil:
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return &ending{isSilent: true}
	case s.partSince.IsZero():
		return violates(websocket.ClosePolicy, "nothing came within %s, not even a pong", streamIdleTimeout)
	}
	return violates(websocket.ClosePolicy, "less than %d bytes of a message came within %s", progressBytes, readTimeout)
}

// makeRoom makes room in the buffer for s.need bytes, or for more of those that have arrived. It returns false if the
// stream ends before there is memory for it.
func (s *eventStream) makeRoom() bool {
	have := s.to - s.from
	if have == 0 {
		s.from, s.to = 0, 0
		if isLarge := len(s.in) > streamBufferKept || len(s.in) > streamBufferFree && s.h.admission.isHalfFull(); isLarge ||
			!s.isBusy && len(s.in) > streamBufferIdle {
			s.h.admission.give(s.charged)
			s.in, s.charged = s.idle[:], 0
			if !s.isBusy {
				s.turn = nil
			}
		}
		s.isBusy = false
	}
	switch size := len(s.in); {
	case s.need > streamBufferKept && s.need > size:
		return s.grow(s.need)
	case s.need > size:
		return s.grow(max(1<<bits.Len(uint(s.need-1)), streamBufferIdle))
	case s.isFull && size < streamBufferKept: // More has arrived.
		return s.grow(min(4*size, streamBufferKept))
	case s.from+s.need > size || s.to == size:
		s.to = copy(s.in, s.in[s.from:s.to])
		s.from = 0
	}
	return true
}

// grow gives the stream a buffer of size bytes. One above streamBufferFree that is needed is charged together with what
// the call of its message will need, so that who has a large message does not wait a second time; one that only takes
// more at a time is left out if memory is short.
func (s *eventStream) grow(size int) bool {
	more := int64(size) - s.charged
	switch {
	case size <= streamBufferFree:
		s.h.admission.used.Add(more)
	case s.need > len(s.in):
		ahead := int64(s.need) * costFactor
		if !s.h.admission.await(more+ahead-s.ahead, s.over) {
			return false
		}
		s.ahead = ahead
	case s.h.admission.isHalfFull() || !s.h.admission.take(more):
		size = len(s.in)
		more = 0
	}
	s.charged += more
	in := s.in
	if size != len(in) {
		in = make([]byte, size)
	}
	s.to = copy(in, s.in[s.from:s.to])
	s.in, s.from = in, 0
	return true
}

// takePong returns the payload that a pong must have, nil if none is due. s.mu is held.
func (s *eventStream) takePong() []byte {
	pong := s.pong
	s.pong = nil
	return pong
}
