package ingest

import (
	"fmt"
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
	heardAt  time.Time // when something was last read, or the reader was last free to read
	isBusy   bool      // a batch came since the buffer was last empty
	isFull   bool      // the last read filled the buffer

	fragments  []byte // the message so far
	isFragment bool   // its last fragment has not come
	partSince  time.Time
	partBytes  int

	isReadable bool   // there may be more to read
	turn       []news // batches that were decided aside, and not handed to the loop yet
}

func violates(code closeCode, format string, args ...any) *ending {
	return &ending{code: code, reason: fmt.Sprintf(format, args...)}
}

// advance reads frames and decides batches until nothing more has arrived, something must be waited for, or the turn is
// over.
func (s *eventStream) advance() {
	for turn := 0; s.ending == nil && !s.isAside; turn++ {
		if turn == turnRequests {
			s.loop.list(s)
			return
		}
		h, payload, e := s.next()
		switch {
		case e != nil:
		case payload == nil:
			var isMore bool
			if isMore, e = s.readMore(s.loop.now, false); !isMore && e == nil {
				return
			}
		case h.Opcode.IsControl():
			s.pass()
			websocket.Mask(payload, h.Mask)
			e = s.control(&h, payload)
		case s.mustHold():
			s.isHeld = true
			return
		default:
			s.pass()
			e = s.message(&h, payload)
		}
		if e != nil {
			s.finish(e)
		}
	}
}

// next finds the next frame. It returns a nil payload if the frame has not arrived whole.
func (s *eventStream) next() (h websocket.Header, payload []byte, e *ending) {
	b := s.in[s.from:s.to]
	h, n, err := websocket.ParseHeader(b)
	switch {
	case err != nil:
		return h, nil, violates(websocket.CloseProtocol, "this is no WebSocket frame: %v", err)
	case n == 0:
		s.need = len(b) + 1
		return h, nil, nil
	}
	if e := s.check(&h); e != nil {
		return h, nil, e
	}
	if s.need = n + int(h.Length); s.need > len(b) {
		return h, nil, nil
	}
	return h, b[n:s.need], nil
}

// pass goes on behind the frame that next has found.
func (s *eventStream) pass() {
	s.from += s.need
	s.partSince = time.Time{}
}

// mustHold reports whether the next batch has to wait until fewer are in flight. One more than Welcome allows does not
// wait: it ends the stream.
func (s *eventStream) mustHold() bool {
	n := s.inFlight.Load()
	return n >= s.credit.Load() && n < streamCredit
}

// message handles a message, or a fragment of one: aside if that may take long, or must wait.
func (s *eventStream) message(h *websocket.Header, payload []byte) *ending {
	isFinal, mask := h.Final, h.Mask
	if !isFinal || s.isFragment || len(payload) > streamBytesInLoop {
		s.aside(func() *ending { return s.data(isFinal, mask, payload) })
		return nil
	}
	websocket.Mask(payload, mask)
	e := s.decide(payload, false)
	if e != nil && e.mustWait {
		s.setCredit()
		s.aside(func() *ending { return s.decide(payload, true) })
		return nil
	}
	return e
}

// aside has a goroutine do what may wait or take long, and go on with the messages that have arrived behind it. It owns
// the reader until the loop calls finishAside. Answers are sent meanwhile.
func (s *eventStream) aside(do func() *ending) {
	s.isAside = true
	s.loop.streams.asides++
	go func() {
		e := do()
		for turn := 1; e == nil && turn < streamCredit && !s.isOver(); turn++ {
			h, payload, wrong := s.next()
			if e = wrong; e != nil {
				break
			}
			if payload == nil {
				s.store() // Everything that has arrived is decided before it is stored.
				var isMore bool
				if isMore, e = s.readMore(time.Now(), true); !isMore {
					break
				}
				continue
			}
			if h.Opcode.IsControl() || s.mustHold() {
				break
			}
			s.pass()
			e = s.data(h.Final, h.Mask, payload)
		}
		s.store()
		s.loop.post(news{stream: s, isAsideEnd: true, ending: e})
	}()
}

// isOver reports whether the stream is to end.
func (s *eventStream) isOver() bool {
	select {
	case <-s.over:
		return true
	default:
		return false
	}
}

// store hands the loop what was decided aside, and has it stored.
func (s *eventStream) store() {
	if len(s.turn) == 0 {
		return
	}
	for i := range s.turn {
		if c := s.turn[i].decided.call; c != nil {
			s.h.engine.Watch(&c.request, s.loop.wake) // The loop looks whether it is durable already.
		}
	}
	s.loop.post(s.turn...)
	clear(s.turn)
	s.turn = s.turn[:0]
}

// finishAside takes over from the goroutine of aside.
func (s *eventStream) finishAside(e *ending) {
	s.isAside = false
	s.loop.streams.asides--
	s.heardAt = s.loop.now
	s.isReadable = s.isReadable || s.wasReadable
	s.wasReadable = false
	if e != nil {
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
func (s *eventStream) data(isFinal bool, mask [4]byte, payload []byte) *ending {
	websocket.Mask(payload, mask)
	if isFinal && !s.isFragment {
		return s.decide(payload, true)
	}
	if !s.h.admission.take(int64(len(payload))) {
		return noMemoryForFragments()
	}
	before := cap(s.fragments)
	s.fragments = append(s.fragments, payload...)
	s.h.admission.give(int64(len(payload) - (cap(s.fragments) - before))) // What append takes beyond is charged, too.
	if s.isFragment = !isFinal; s.isFragment {
		return nil
	}
	e := s.decide(s.fragments, true)
	s.h.admission.give(int64(cap(s.fragments)))
	s.fragments = nil
	return e
}

func noMemoryForFragments() *ending {
	return violates(closeTryAgain, "there is no memory for a message in fragments")
}

// holdsFragments reports whether the stream holds so much in fragments that it may not wait for memory: streams that do
// could wait for each other. Below that all streams together hold a quarter of the budget.
func (s *eventStream) holdsFragments() bool { return cap(s.fragments) > streamBufferFree }

// await reserves n bytes of the memory budget as soon as there are so many. It returns false if the stream is over, or
// at once if holdsFragments is true.
func (s *eventStream) await(n int64) bool {
	if s.holdsFragments() {
		return s.h.admission.take(n)
	}
	s.store()
	return s.h.admission.await(n, s.over)
}

// closeTryAgain is the WebSocket code of an overloaded server.
const closeTryAgain closeCode = 1013

// decide handles one message of the client: a batch, or an ack of commands. Without mayWait it returns mustWait if it
// would have to wait for memory or the disk.
func (s *eventStream) decide(b []byte, mayWait bool) *ending {
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
		s.h.admission.give(s.ahead)
		s.ahead = 0
		s.acked.Add(uint64(min(n, streamCommandsCredit)))
		signal(s.acks)
		return nil
	}
	return violates(websocket.ClosePolicy, "a gateway sends batches and acks, nothing else")
}

// batch decides a batch whose message has size bytes.
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
	if need > 0 && !s.h.admission.take(need) {
		switch {
		case !mayWait:
			return &ending{mustWait: true}
		case s.await(need):
		case s.holdsFragments():
			return noMemoryForFragments()
		default:
			return &ending{isSilent: true}
		}
	}
	c := s.h.calls.Get().(*call)
	c.charged, s.ahead = s.ahead+need, 0
	problem := s.decode(c, f, mayWait)
	if !mayWait && (problem == errOverloaded || problem == nil && c.readsLedger()) {
		c.release()
		return &ending{mustWait: true}
	}
	if problem == nil {
		if mayWait && c.readsLedger() {
			s.store() // What was decided before does not wait for this read.
		}
		if err := s.h.engine.Decide(&c.request); err != nil {
			if problem = shard.ProblemOf(err); problem == nil {
				c.release()
				return &ending{isSilent: true}
			}
		}
	}
	d := inFlight{call: c, problem: problem, sequence: f.Sequence, bytes: size}
	if problem != nil {
		c.release()
		d.call = nil
	}
	s.inFlight.Add(1)
	s.inFlightBytes.Add(size)
	if mayWait {
		s.turn = append(s.turn, news{stream: s, decided: d, isBatch: true})
	} else {
		s.enqueue(&d)
	}
	if problem != nil && problem.Code == event.Unauthorized {
		return violates(websocket.ClosePolicy, "%s", problem.Detail)
	}
	return nil
}

// enqueue puts a batch into the queue of answers, and has the loop wait for its group.
func (s *eventStream) enqueue(d *inFlight) {
	s.queue = append(s.queue, *d)
	if d.call == nil {
		return
	}
	if asked := d.call.request.Elsewhere; asked != nil {
		// It is due whenever it comes, in no order with groups: the loop does not wait for it.
		d.call.isStored = false
		asked.Tell(func() { s.loop.post(news{stream: s}) })
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
		if s.await(need) {
			c.charged, problem = need, nil
		}
	}
	return problem
}
