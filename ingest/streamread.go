package ingest

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
)

// Hot path: batches of a stream, from the socket to their decision. It does not allocate while a stream is busy.

type closeCode = websocket.Code

// streamReader is what reading from a stream needs. The loop owns it, and while isAside is true the goroutine of aside.
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

	decided    inFlight // what the running frame decided, for enqueue
	hasDecided bool
}

func violates(code closeCode, format string, args ...any) *ending {
	return &ending{code: code, reason: fmt.Sprintf(format, args...)}
}

// errMustWait is returned instead of waiting, by what may not wait. Nothing has changed then: the same is done aside.
var errMustWait = &ending{}

// advance reads frames and decides batches until nothing more has arrived, something must be waited for, or the turn is
// over.
func (s *eventStream) advance() {
	for turn := 0; s.ending == nil && !s.isAside; turn++ {
		if turn == turnRequests {
			s.loop.list(s)
			return
		}
		isNext, e := s.take()
		if s.isAside || s.isHeld {
			return
		}
		s.enqueue()
		switch {
		case e != nil:
			s.finish(e)
		case !isNext && !s.readMore():
			return
		}
	}
}

// take handles the next frame if it has arrived whole, and returns true then. Frames that may take long are handled
// aside. A batch is left where it is while no more may be in flight.
func (s *eventStream) take() (isNext bool, e *ending) {
	if s.isHeld {
		s.isHeld, s.heardAt = false, s.loop.now
	}
	b := s.in[s.from:s.to]
	h, n, err := websocket.ParseHeader(b)
	switch {
	case err != nil:
		return false, violates(websocket.CloseProtocol, "this is no WebSocket frame: %v", err)
	case n == 0:
		s.need = len(b) + 1
		return false, nil
	}
	if e := s.check(&h); e != nil {
		return false, e
	}
	whole := n + int(h.Length)
	if s.need = whole; whole > len(b) {
		return false, nil
	}
	if inFlight := s.inFlight.Load(); !h.Opcode.IsControl() && inFlight >= s.credit && inFlight < streamCredit {
		s.isHeld = true
		return false, nil
	}
	s.from += whole
	s.partSince = time.Time{}
	payload := b[n:whole]
	isWhole := h.Final && !s.isFragment
	if !h.Opcode.IsControl() && (!isWhole || len(payload) > streamBytesInLoop) {
		isFinal, mask := h.Final, h.Mask
		s.aside(func() *ending {
			websocket.Mask(payload, mask)
			return s.data(isFinal, payload)
		})
		return false, nil
	}
	websocket.Mask(payload, h.Mask)
	if h.Opcode.IsControl() {
		return true, s.control(&h, payload)
	}
	if e = s.message(payload, false); e == errMustWait {
		s.setCredit()
		s.aside(func() *ending { return s.message(payload, true) })
		return false, nil
	}
	return true, e
}

// aside has a goroutine do what may wait or take long; it owns the reader until the loop calls finishAside. Meanwhile
// nothing is read from the stream, and answers are sent.
func (s *eventStream) aside(do func() *ending) {
	s.isAside = true
	s.loop.streams.asides++
	go func() {
		s.asideEnding = do()
		s.isAsideDone.Store(true)
		s.loop.post(s)
	}()
}

// finishAside takes over what the goroutine of aside did.
func (s *eventStream) finishAside() {
	s.isAside = false
	s.loop.streams.asides--
	s.heardAt = s.loop.now
	s.enqueue()
	if e := s.asideEnding; e != nil {
		s.finish(e)
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

// control handles a frame that is no part of a message.
func (s *eventStream) control(h *websocket.Header, payload []byte) *ending {
	switch h.Opcode {
	case websocket.Ping:
		s.pong = append(s.pong[:0:0], payload...)
		s.isPongDue = true
	case websocket.Close:
		code, _, err := websocket.ParseClose(payload)
		if err != nil {
			return violates(websocket.CloseProtocol, "%v", err)
		}
		return &ending{code: code, isClients: true}
	}
	return nil
}

// data handles a message, or a fragment of one. It may wait.
func (s *eventStream) data(isFinal bool, payload []byte) *ending {
	if isFinal && !s.isFragment {
		return s.message(payload, true)
	}
	if !s.h.admission.take(int64(len(payload))) {
		return violates(closeTryAgain, "there is no memory for a message in fragments")
	}
	before := cap(s.fragments)
	s.fragments = append(s.fragments, payload...)
	s.h.admission.give(int64(len(payload) - (cap(s.fragments) - before))) // What append takes beyond is charged, too.
	if s.isFragment = !isFinal; s.isFragment {
		return nil
	}
	e := s.message(s.fragments, true)
	s.h.admission.give(int64(cap(s.fragments)))
	s.fragments = nil
	return e
}

// closeTryAgain is the WebSocket code of an overloaded server.
const closeTryAgain closeCode = 1013

// message handles one message of the client: a batch, or an ack of commands. Without mayWait it returns errMustWait if it
// would have to wait for memory or the disk.
func (s *eventStream) message(b []byte, mayWait bool) *ending {
	f, err := wire.DecodeFrame(b)
	if err != nil {
		return violates(websocket.CloseInvalid, "a message is no meterd.v1.Frame: %v", err)
	}
	switch f.Kind {
	case wire.FrameBatch:
		return s.batch(&f, int64(len(b)), mayWait)
	case wire.FrameAck:
		n, err := wire.DecodeCount(f.Body)
		if err != nil {
			return violates(websocket.CloseInvalid, "an ack is no meterd.v1.Ack: %v", err)
		}
		s.acked.Add(uint64(min(n, streamCommandsCredit)))
		signal(s.acks)
		return nil
	}
	return violates(websocket.ClosePolicy, "a gateway sends batches and acks, nothing else")
}

// batch decides a batch whose message has size bytes, and leaves it to enqueue.
func (s *eventStream) batch(f *wire.Frame, size int64, mayWait bool) *ending {
	n, inFlightBytes := s.inFlight.Load(), s.inFlightBytes.Load()
	switch {
	case n >= streamCredit:
		return violates(websocket.ClosePolicy, "%d batches wait for their answers, as many as Welcome allows", n)
	case n > 0 && inFlightBytes+size > streamCreditBytes:
		return violates(websocket.ClosePolicy, "over %d bytes wait for their answers", int64(streamCreditBytes))
	}
	s.isBusy = true
	need := max(0, int64(max(len(f.Body), costMin/costFactor))*costFactor-s.ahead)
	if mayWait {
		if !s.h.admission.await(need, s.over) {
			return &ending{isSilent: true}
		}
	} else if !s.h.admission.take(need) {
		return errMustWait
	}
	c := s.h.calls.Get().(*call)
	c.charged, s.ahead = s.ahead+need, 0
	problem := s.decode(c, f, mayWait)
	if !mayWait && (problem == errOverloaded || problem == nil && c.readsLedger()) {
		c.release()
		return errMustWait
	}
	if problem == nil {
		if err := s.h.engine.Decide(&c.request); err != nil {
			if problem = shard.ProblemOf(err); problem == nil {
				c.release()
				return &ending{isSilent: true}
			}
		}
	}
	s.decided, s.hasDecided = inFlight{call: c, problem: problem, sequence: f.Sequence, bytes: size}, true
	if problem != nil {
		c.release()
		s.decided.call = nil
	}
	if problem != nil && problem.Code == event.Unauthorized {
		return violates(websocket.ClosePolicy, "%s", problem.Detail)
	}
	return nil
}

// enqueue puts what the last frame decided into the queue of answers, and has the loop wait for its group.
func (s *eventStream) enqueue() {
	if !s.hasDecided {
		return
	}
	d := s.decided
	s.decided, s.hasDecided = inFlight{}, false
	s.inFlight.Add(1)
	s.inFlightBytes.Add(d.bytes)
	s.queue = append(s.queue, d)
	if d.call == nil {
		return
	}
	if d.call.isStored = d.call.request.IsDurable(); !d.call.isStored {
		s.loop.await(pending{stream: s, call: d.call})
	}
	s.loop.count()
}

// decode makes the call one of the batch in f.
func (s *eventStream) decode(c *call, f *wire.Frame, mayWait bool) *event.Problem {
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
	if problem == errOverloaded && mayWait { // There was no memory for the events. All of it is waited for at once.
		need := c.charged + int64(len(c.batch.Events))*eventCost
		s.h.admission.give(c.charged)
		c.charged = 0
		if s.h.admission.await(need, s.over) {
			c.charged, problem = need, nil
		}
	}
	return problem
}

// readMore reads what has arrived. It returns false if nothing has, if the stream is over, or if there must be memory
// first.
func (s *eventStream) readMore() bool {
	l := s.loop
	if s.from == s.to {
		s.shrink()
	}
	isPart := s.to > s.from || s.isFragment
	if isPart && (s.partSince.IsZero() || s.partBytes >= progressBytes) {
		s.partSince, s.partBytes = l.now, 0
	}
	if !s.isReadable || !s.makeRoom() {
		return false
	}
	room := s.in[s.to:]
	n, err := s.carrier.read(room[:min(len(room), streamBufferKept)])
	switch {
	case isNothingYet(err):
		s.isReadable = false
		return false
	case err != nil || n == 0:
		s.finish(&ending{isSilent: true})
		return false
	}
	s.to += n
	s.partBytes += n
	s.heardAt = l.now
	s.isFull = n == len(room)
	s.isReadable = s.hasHung || n == min(len(room), streamBufferKept) // A shorter read has emptied the socket.
	return true
}

// shrink gives back a buffer that is empty and larger than the stream needs now.
func (s *eventStream) shrink() {
	s.from, s.to = 0, 0
	if isLarge := len(s.in) > streamBufferKept || len(s.in) > streamBufferFree && s.h.admission.isHalfFull(); isLarge ||
		!s.isBusy && len(s.in) > streamBufferIdle {
		s.h.admission.give(s.charged)
		s.in, s.charged = s.idle[:], 0
	}
	s.isBusy = false
}

// makeRoom makes room in the buffer for s.need bytes, or for more of those that have arrived. It returns false if that
// is done aside.
func (s *eventStream) makeRoom() bool {
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

// grow gives the stream a buffer of size bytes. One above streamBufferFree that is needed is waited for aside, and
// charged together with what the call of its message will need, so that who has a large message does not wait a second
// time; one that only takes more at a time is left out if memory is short.
func (s *eventStream) grow(size int) bool {
	more := int64(size) - s.charged
	switch {
	case size <= streamBufferFree:
		s.h.admission.used.Add(more)
	case s.need > len(s.in):
		s.aside(func() *ending {
			ahead := int64(s.need) * costFactor
			if !s.h.admission.await(more+ahead-s.ahead, s.over) {
				return &ending{isSilent: true}
			}
			s.ahead = ahead
			s.resize(size, more)
			return nil
		})
		return false
	case s.h.admission.isHalfFull() || !s.h.admission.take(more):
		size, more = len(s.in), 0
	}
	s.resize(size, more)
	return true
}

// resize moves what was read into a buffer of size bytes, for which more bytes of the budget were taken.
func (s *eventStream) resize(size int, more int64) {
	s.charged += more
	in := s.in
	if size != len(in) {
		in = make([]byte, size)
	}
	s.to = copy(in, s.in[s.from:s.to])
	s.in, s.from, s.isFull = in, 0, false
}
