package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/event/websocket"
	"github.com/meterd/meterd/event/wire"
)

// streamConn is one event stream from its welcome to its end.
//
//	ask ─► enter (credit) ─► send ─► socket ─► receive ─► answer, problem ─► waiter of that sequence
//	                          ▲                   ├─────► command ─► commands ─► Commands ─► ack
//	        housekeep ────────┘ ◄──── ping, ack ──┘
//
// What is received never waits for what is sent: meterd may stop reading until its answers are read.
type streamConn struct {
	node     *node
	socket   io.ReadWriteCloser
	silence  *silence
	writing  chan struct{} // holds a token while somebody writes
	running  sync.WaitGroup
	welcomed chan struct{}
	ended    chan struct{} // closed after err was set
	err      error
	once     sync.Once
	pong     chan []byte       // the last ping that is to be answered
	acks     chan struct{}     // a token a command that was carried out
	commands chan wire.Command // as many as meterd sends without an ack
	refused  atomic.Int32      // batches in a row that this node cannot decide now
	moved    chan struct{}     // closed when another one took its place

	mu          sync.Mutex
	waiting     map[uint64]*waiter // by sequence: sent, and not answered
	bytes       uint64             // of them
	credit      uint32             // how many may be
	creditBytes uint64
	room        chan struct{} // closed when there is more; nil when nobody waits for it
}

// waiter is a batch without an answer.
type waiter struct {
	bytes    uint64
	done     chan struct{} // closed after the others were set
	answer   []byte
	replayed bool
	refusal  *Problem
}

func newStreamConn(socket io.ReadWriteCloser, n *node, o *Options) *streamConn {
	c := &streamConn{
		node:     n,
		moved:    make(chan struct{}),
		socket:   socket,
		writing:  make(chan struct{}, 1),
		welcomed: make(chan struct{}),
		ended:    make(chan struct{}),
		pong:     make(chan []byte, 1),
		acks:     make(chan struct{}, streamCommandsMax),
		commands: make(chan wire.Command, streamCommandsMax),
		waiting:  map[uint64]*waiter{},
	}
	c.silence = newSilence(o.HeartbeatTimeout, c.end)
	c.running.Go(c.receive)
	c.running.Go(c.housekeep)
	return c
}

// end closes the stream, once, because of err.
func (c *streamConn) end(err error) {
	c.once.Do(func() {
		c.err = fmt.Errorf("stream: %w", err)
		close(c.ended)
		_ = c.socket.Close() // There is nothing left to lose.
	})
}

func (c *streamConn) hasEnded() bool { return isClosed(c.ended) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// idle returns nil when nothing waits for an answer, else what is closed when something may have got one.
func (c *streamConn) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return nil
	}
	if c.room == nil {
		c.room = make(chan struct{})
	}
	return c.room
}

// enter waits until another batch may be sent, and notes that it is.
func (c *streamConn) enter(ctx context.Context, sequence uint64, bytes int) (*waiter, error) {
	for {
		c.mu.Lock()
		n := len(c.waiting)
		if n == 0 || n < int(c.credit) && c.bytes+uint64(bytes) <= c.creditBytes {
			w := &waiter{bytes: uint64(bytes), done: make(chan struct{})}
			c.waiting[sequence] = w
			c.bytes += w.bytes
			c.mu.Unlock()
			return w, nil
		}
		if c.room == nil {
			c.room = make(chan struct{})
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.ended:
			return nil, c.err
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for credit: %w", context.Cause(ctx))
		}
	}
}

// send writes a frame as one message. When it cannot be written the stream ends.
func (c *streamConn) send(f *wire.Frame) {
	c.write(websocket.Binary, f.Bytes(), func(dst []byte) []byte { return wire.AppendFrame(dst, f) })
}

// write writes one WebSocket frame, masked as those of clients must be.
func (c *streamConn) write(op websocket.Opcode, length int, payload func([]byte) []byte) {
	h := websocket.Header{Opcode: op, Final: true, Masked: true, Length: uint64(length)}
	binary.LittleEndian.PutUint32(h.Mask[:], rand.Uint32())
	message := websocket.AppendHeader(make([]byte, 0, websocket.HeaderBytesMax+length), h)
	head := len(message)
	message = payload(message)
	websocket.Mask(message[head:], h.Mask)
	c.writing <- struct{}{} // A write ends with the stream, if it is stuck.
	_, err := c.socket.Write(message)
	<-c.writing
	if err != nil {
		c.end(err)
	}
}

// housekeep answers pings and acknowledges commands.
func (c *streamConn) housekeep() {
	for {
		select {
		case payload := <-c.pong:
			c.write(websocket.Pong, len(payload), func(dst []byte) []byte { return append(dst, payload...) })
		case <-c.acks:
			n := uint32(1)
			for len(c.acks) > 0 { // Nobody else takes from it.
				<-c.acks
				n++
			}
			c.send(&wire.Frame{Kind: wire.FrameAck, Body: wire.AppendCount(nil, n)})
		case <-c.ended:
			return
		}
	}
}

// receive reads until the stream ends.
func (c *streamConn) receive() {
	defer c.silence.end()
	r := bufio.NewReaderSize(c.silence.listen(c.socket), streamBufferBytes)
	var message []byte
	isFragment := false
	for {
		h, payload, err := readFrame(r, streamMessageBytesMax-len(message))
		switch {
		case err != nil:
		case h.Opcode == websocket.Ping:
			select {
			case <-c.pong: // An older one need not be answered any more.
			default:
			}
			c.pong <- payload
			continue
		case h.Opcode == websocket.Pong:
			continue
		case h.Opcode == websocket.Close:
			err = closedBy(payload)
		case h.Opcode == websocket.Text || (h.Opcode == websocket.Continuation) != isFragment:
			err = errors.New("it is no message of " + streamProtocol)
		default:
			message = append(message, payload...)
			if isFragment = !h.Final; isFragment {
				continue
			}
			err = c.take(message)
			message = nil // What was taken points into it.
		}
		if err != nil {
			c.end(err)
			return
		}
	}
}

// readFrame reads one WebSocket frame with at most bytesMax of payload.
func readFrame(r *bufio.Reader, bytesMax int) (h websocket.Header, payload []byte, err error) {
	n := 0
	for need := 2; n == 0; need++ {
		b, err := r.Peek(need)
		if err != nil {
			return h, nil, fmt.Errorf("read: %w", err)
		}
		if h, n, err = websocket.ParseHeader(b); err != nil {
			return h, nil, fmt.Errorf("read: this is no WebSocket frame: %w", err)
		}
	}
	if _, err := r.Discard(n); err != nil {
		return h, nil, fmt.Errorf("read: %w", err)
	}
	if h.Masked || h.Length > uint64(bytesMax) {
		return h, nil, fmt.Errorf("read: a frame of %d bytes, masked: %t, cannot be meterd's", h.Length, h.Masked)
	}
	payload = make([]byte, h.Length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return h, nil, fmt.Errorf("read: %w", err)
	}
	return h, payload, nil
}

// closedBy returns what a close frame says.
func closedBy(payload []byte) error {
	code, reason, err := websocket.ParseClose(payload)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return fmt.Errorf("meterd closed it: %d %s", code, reason)
}

// take takes one message, which must be the stream's from now on.
func (c *streamConn) take(message []byte) error {
	f, err := wire.DecodeFrame(message)
	if err != nil {
		return fmt.Errorf("a message is no frame: %w", err)
	}
	switch f.Kind {
	case wire.FrameWelcome:
		w, err := wire.DecodeWelcome(f.Body)
		if err != nil || c.hasWelcome() || w.Credit == 0 || w.CommandsCredit > streamCommandsMax {
			return fmt.Errorf("a welcome cannot be understood: %+v, %w", w, err)
		}
		c.setCredit(w.Credit, w.CreditBytes)
		close(c.welcomed)
	case wire.FrameCredit:
		n, err := wire.DecodeCount(f.Body)
		if err != nil {
			return fmt.Errorf("a credit cannot be understood: %w", err)
		}
		c.setCredit(n, 0)
	case wire.FrameAnswer:
		c.settle(&f, nil)
	case wire.FrameProblem:
		p, err := wire.DecodeRefusal(f.Body)
		if err != nil {
			return fmt.Errorf("a problem cannot be understood: %w", err)
		}
		c.settle(&f, &Problem{
			Status: int(p.Status), Code: p.Code, Title: p.Title, Detail: p.Detail, Field: p.Field,
			RetryAfter: min(time.Duration(p.RetryAfterMs)*time.Millisecond, retryAfterMaxSeconds*time.Second),
		})
	case wire.FrameCommand:
		m, err := wire.DecodeCommand(f.Body)
		if err != nil {
			return fmt.Errorf("a command cannot be understood: %w", err)
		}
		select {
		case c.commands <- m:
		default:
			return errors.New("more commands came than were acknowledged")
		}
	}
	return nil
}

func (c *streamConn) hasWelcome() bool { return isClosed(c.welcomed) }

// setCredit says how much may be in flight; 0 bytes leave those as they are.
func (c *streamConn) setCredit(batches uint32, bytes uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.credit = batches
	if bytes != 0 {
		c.creditBytes = bytes
	}
	c.makeRoom()
}

// makeRoom wakes who waits for it. The mutex is held.
func (c *streamConn) makeRoom() {
	if c.room != nil {
		close(c.room)
		c.room = nil
	}
}

// settle hands an answer or a problem to who waits for it.
func (c *streamConn) settle(f *wire.Frame, refusal *Problem) {
	c.mu.Lock()
	w := c.waiting[f.Sequence]
	if w != nil {
		delete(c.waiting, f.Sequence)
		c.bytes -= w.bytes
		c.makeRoom()
	}
	c.mu.Unlock()
	if w != nil {
		w.answer, w.replayed, w.refusal = f.Body, f.Replayed, refusal
		close(w.done)
	}
}
