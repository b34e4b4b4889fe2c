package ingest

import (
	"io"
	"math/rand/v2"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/commands"
)

// Hot path: answers of a stream, from their durable groups to the socket. It does not allocate while a stream is busy.

// streamWriter is what the writer of a stream owns.
type streamWriter struct {
	place commands.Place // of the last command that was sent
	more  <-chan struct{}
	// commands says how many may be sent before more are acknowledged.
	commands int
	due      []inFlight // answered by the running step
	answer   []byte
	out      []byte
	hasEnded bool    // the reader has ended, and the queue is empty
	ending   *ending // why the stream ends, once the writer knows
	isBroken bool    // nothing may be written any more
}

// serve writes until the stream ends, and closes its connection.
func (s *eventStream) serve() {
	s.commands = streamCommandsCredit
	body := wire.AppendWelcome(nil, &s.welcome)
	s.append(&wire.Frame{Kind: wire.FrameWelcome, Body: body})
	beat := time.NewTimer(s.beat())
	defer beat.Stop()
	s.tell()
	for {
		s.step()
		s.flush()
		if s.isBroken {
			s.stop(&ending{isSilent: true})
		}
		if s.hasEnded {
			break
		}
		if s.ending != nil { // What was decided is answered first.
			<-s.wake
			continue
		}
		select {
		case <-s.wake:
		case <-s.more:
			s.more = nil
			s.tell()
		case <-beat.C:
			s.out = websocket.AppendControl(s.out, websocket.Ping, nil)
			s.rest()
			beat.Reset(s.beat())
			s.isAllowed()
		case <-s.h.streams.closing:
			s.stop(&ending{code: websocket.CloseGoingAway, reason: "meterd stops; connect again"})
		}
	}
	s.close()
}

// beat is the time until the next ping, or until the token expires.
func (s *eventStream) beat() time.Duration {
	if ms := s.token.ExpiresAtMs; ms != 0 {
		return max(0, min(heartbeatEvery, time.Duration(ms-s.h.engine.NowMs()+1)*time.Millisecond))
	}
	return heartbeatEvery
}

// isAllowed ends the stream if its token was deleted or has expired, and returns false then.
func (s *eventStream) isAllowed() bool {
	if s.h.engine.Catalogue().Honors(s.token, s.h.engine.NowMs()) {
		return true
	}
	s.stop(&ending{code: websocket.ClosePolicy, reason: "the token was deleted or has expired"})
	return false
}

// stop makes the reader end. It returns when it has; nothing is decided from then on.
func (s *eventStream) stop(e *ending) {
	if s.ending != nil {
		return
	}
	s.ending = e
	close(s.over)
	for {
		// The reader may just be setting a deadline of its own, so it is told more than once.
		_ = s.conn.SetReadDeadline(longAgo()) // It fails on a closed connection, whose reader has ended.
		again := time.NewTimer(streamStopEvery)
		select {
		case <-s.read:
			again.Stop()
			signal(s.wake)
			return
		case <-again.C:
		}
	}
}

// step answers the batches that are durable, and takes what else the reader has left.
func (s *eventStream) step() {
	s.mu.Lock()
	n, size := 0, int64(0)
	for n < len(s.queue) && (s.queue[n].call == nil || s.queue[n].call.request.IsDurable()) {
		size += s.queue[n].bytes
		n++
	}
	s.due = append(s.due[:0], s.queue[:n]...)
	left := copy(s.queue, s.queue[n:])
	clear(s.queue[left:])
	s.queue = s.queue[:left]
	pong, acked := s.takePong(), s.acked
	s.acked = 0
	if s.end != nil && left == 0 {
		s.hasEnded = true
		if s.ending == nil {
			s.ending = s.end
		}
	}
	s.mu.Unlock()
	if pong != nil {
		s.out = websocket.AppendControl(s.out, websocket.Pong, pong)
	}
	if acked > 0 {
		isShort := s.commands == 0
		if s.commands = min(s.commands+int(acked), streamCommandsCredit); isShort && s.ending == nil {
			s.tell()
		}
	}
	s.setCredit()
	if n == 0 {
		return
	}
	// Before the answers are sent: who reads one may send the next batch at once.
	s.inFlight.Add(int32(-n))
	s.inFlightBytes.Add(-size)
	signal(s.room)
	for i := range s.due {
		s.respond(&s.due[i])
		s.due[i] = inFlight{}
		if len(s.out) >= streamWriteBytes {
			s.flush()
		}
	}
}

// setCredit tells the client how many batches it may have in flight, if that is not what it knows.
func (s *eventStream) setCredit() {
	before := s.credit.Load()
	credit := s.h.admission.credit(before)
	if credit == before {
		return
	}
	s.credit.Store(credit)
	signal(s.room)
	s.answer = wire.AppendCount(s.answer[:0], uint32(credit))
	s.append(&wire.Frame{Kind: wire.FrameCredit, Body: s.answer})
}

// respond appends the answer to a batch, and gives its memory back. After an error that says nothing about what was
// stored nothing is written any more.
func (s *eventStream) respond(d *inFlight) {
	c := d.call
	if c != nil {
		if err := s.h.engine.Settle(&c.request); err != nil {
			if d.problem = shard.ProblemOf(err); d.problem == nil {
				s.isBroken = true
			}
		}
	}
	f := wire.Frame{Sequence: d.sequence, Kind: wire.FrameAnswer}
	if d.problem != nil {
		f.Kind = wire.FrameProblem
		s.answer = wire.AppendRefusal(s.answer[:0], d.problem, retryAfterMs(d.problem))
	} else if !s.isBroken {
		s.answer = c.format.answer(s.answer[:0], &c.request.Result)
		f.Replayed = c.request.Replayed
	}
	if c != nil {
		c.release()
	}
	f.Body = s.answer
	if !s.isBroken {
		s.append(&f)
	}
}

// retryAfterMs returns a jittered time after which a refused batch may be sent again, 0 if that does not help.
func retryAfterMs(p *event.Problem) uint32 {
	if p.Code.Status() != event.Overloaded.Status() {
		return 0
	}
	return 1000*retryAfterMinSeconds + rand.Uint32N(1000*retryAfterSpreadSeconds)
}

// append appends a frame as one message.
func (s *eventStream) append(f *wire.Frame) {
	s.out = websocket.AppendHeader(
		s.out,
		websocket.Header{Opcode: websocket.Binary, Final: true, Length: uint64(f.Bytes())},
	)
	s.out = wire.AppendFrame(s.out, f)
}

// tell appends the commands that are new. Nothing is told after the token was deleted or has expired.
func (s *eventStream) tell() {
	for s.commands > 0 && s.more == nil && s.isAllowed() {
		list, next, more, err := s.h.engine.Commands(s.place, s.who)
		if err != nil {
			s.stop(&ending{isSilent: true}) // The engine has stopped.
			return
		}
		if len(list) > s.commands {
			list = list[:s.commands]
			next = list[len(list)-1].Place
		}
		for i := range list {
			s.command(&list[i])
		}
		s.commands -= len(list)
		s.place = next
		if len(list) == 0 {
			s.more = more
		}
		if s.flush(); s.isBroken {
			return
		}
	}
}

func (s *eventStream) command(c *shard.Command) {
	m := wire.Command{ID: string(c.Place.AppendText(nil)), Type: wire.CommandRefresh, Product: c.Product}
	if c.Device != "" {
		m.Type, m.Device, m.Reason = wire.CommandDisconnect, c.Device, c.Reason.String()
	}
	s.answer = wire.AppendCommand(s.answer[:0], &m)
	s.append(&wire.Frame{Kind: wire.FrameCommand, Body: s.answer})
}

// flush sends what was appended. A client that takes longer than streamWriteTimeout to read it is disconnected.
func (s *eventStream) flush() {
	if len(s.out) == 0 || s.isBroken {
		s.out = s.out[:0]
		return
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) // It fails on a closed connection, as writing will.
	select {
	case <-s.h.streams.closing: // Perhaps hurry came just before.
		_ = s.conn.SetWriteDeadline(time.Now().Add(streamCloseTimeout))
	default:
	}
	if _, err := s.conn.Write(s.out); err != nil {
		s.isBroken = true
	}
	if s.out = s.out[:0]; cap(s.out) > streamOutKept {
		s.out = nil
	}
}

// rest gives back what a busy stream needs and an idle one does not.
func (s *eventStream) rest() {
	if s.inFlight.Load() > 0 {
		return
	}
	s.due, s.answer = nil, nil
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		s.queue = nil
	}
}

// close says why the stream ends, and closes the connection.
func (s *eventStream) close() {
	if !s.ending.isSilent {
		s.out = websocket.AppendClose(s.out, s.ending.code, s.ending.reason)
		if s.flush(); !s.ending.isClients && !s.isBroken {
			s.awaitClose()
		}
	}
	_ = s.conn.Close() // Whatever it says, the connection is gone.
}

// awaitClose passes over what the client still sends, until it has answered the close frame, but not for long: data on
// a closed connection is answered with a reset, which may overtake the last answers. The reader has ended.
func (s *eventStream) awaitClose() {
	_ = s.conn.SetReadDeadline(time.Now().Add(lingerFor)) // It fails on a closed connection, as reading will.
	for left := int64(lingerBytesMax); left > 0; {
		h, n, err := websocket.ParseHeader(s.in[s.from:s.to])
		if n > 0 && h.Opcode == websocket.Close || err != nil && s.end.code != websocket.CloseProtocol {
			return
		}
		if err != nil { // What is no frame cannot be passed over: the connection is read to its end.
			n, h.Length = s.to-s.from, uint64(left)
		}
		if n > 0 {
			here := min(s.to-s.from, n+int(min(h.Length, uint64(left))))
			s.from += here
			rest := min(int64(h.Length)-int64(here-n), left)
			if _, err := io.CopyN(io.Discard, s.conn, rest); err != nil {
				return
			}
			left -= rest + int64(n)
			continue
		}
		if s.from > 0 || s.to == len(s.in) {
			s.to, s.from = copy(s.in, s.in[s.from:s.to]), 0
		}
		read, err := s.conn.Read(s.in[s.to:])
		if s.to += read; err != nil {
			return
		}
	}
}
