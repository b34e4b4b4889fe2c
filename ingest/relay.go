package ingest

import (
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// carrier moves the bytes of a stream. Its methods never wait: read returns EAGAIN if nothing has arrived, and 0 bytes
// if the client sends nothing more; write takes as much as there is room for. The loop hears when there is more.
type carrier interface {
	read(b []byte) (int, error)
	write(b []byte) (int, error)
	close()
}

// ownSocket is a socket that counts among the connections.
type ownSocket struct {
	socket
	limit *connLimit
}

func (s ownSocket) close() {
	s.socket.close() // This removes it from epoll, too.
	if s.limit != nil {
		s.limit.release()
	}
}

// detach takes the descriptor of a plain TCP connection out of the runtime's poller, so that a loop can serve it, and
// ends conn. It returns false, and has done nothing, if conn has no descriptor of its own, as with TLS, or if there is
// none left for the moment in which there are two.
func detach(conn net.Conn) (s ownSocket, ok bool) {
	counted, isCounted := conn.(*connection)
	if isCounted {
		conn = counted.Conn
		s.limit = counted.limit
	}
	plain, isPlain := conn.(stream)
	if !isPlain {
		return s, false
	}
	err := plain.control(func(fd int) error {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		s.socket = socket(own)
		return err
	})
	if err != nil {
		return s, false
	}
	if isCounted {
		counted.isClosed.Store(true) // It is counted until ownSocket.close.
	}
	_ = plain.Close() // The connection goes on with the other descriptor.
	return s, true
}

// relay is the carrier of a connection that has no socket of its own, one with TLS: one goroutine reads from it and one
// writes to it, for the loop.
//
//	conn ──► pull: in ──► read ──► loop ──► write ──► out: push ──► conn
type relay struct {
	conn    net.Conn
	post    func() // tells the loop that there is something to read, room to write, or an error
	closing <-chan struct{}

	mu       sync.Mutex
	in       []byte        // guarded by mu: was read, and not taken by the loop
	err      error         // guarded by mu: why conn is of no use any more
	hasEnded bool          // guarded by mu: the client sends nothing more
	out      []byte        // guarded by mu: is to be written
	isFull   bool          // guarded by mu: the loop had more than was taken
	isClosed bool          // guarded by mu: nothing is written beyond out
	taken    chan struct{} // in is empty, or isClosed is true
	given    chan struct{} // out is not empty, or isClosed is true
}

func newRelay(conn net.Conn, closing <-chan struct{}, post func()) *relay {
	return &relay{
		conn: conn, post: post, closing: closing, taken: make(chan struct{}, 1), given: make(chan struct{}, 1),
	}
}

// start begins to move bytes.
func (r *relay) start() {
	_ = r.conn.SetReadDeadline(time.Time{}) // It fails on a closed connection, as reading will.
	go r.pull()
	go r.push()
}

// read implements carrier.
func (r *relay) read(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := copy(b, r.in)
	r.in = r.in[n:]
	switch {
	case n > 0:
		if len(r.in) == 0 {
			signal(r.taken)
		}
		return n, nil
	case r.err != nil:
		return 0, r.err
	case r.hasEnded:
		return 0, nil
	}
	return 0, unix.EAGAIN
}

// write implements carrier.
func (r *relay) write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	n := min(len(b), relayBytesMax-len(r.out))
	r.out = append(r.out, b[:n]...)
	r.isFull = n < len(b)
	signal(r.given)
	return n, nil
}

// close implements carrier. What was written is still sent, for as long as one write may take.
func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isClosed = true
	signal(r.given)
	signal(r.taken)
}

// hurry bounds what a write may take from now on.
func (r *relay) hurry() {
	_ = r.conn.SetWriteDeadline(time.Now().Add(streamCloseTimeout)) // It fails on a closed connection.
}

// pull reads from the connection; what it has read must be taken before it reads more.
func (r *relay) pull() {
	buffer := make([]byte, relayReadBytes)
	for {
		n, err := r.conn.Read(buffer)
		if n == 0 && err == nil {
			continue
		}
		r.mu.Lock()
		r.in = buffer[:n]
		r.hasEnded = err != nil
		isClosed := r.isClosed
		r.mu.Unlock()
		if r.post(); isClosed || err != nil && n == 0 {
			return
		}
		<-r.taken
		if err != nil { // The end came together with the last bytes.
			r.post()
			return
		}
	}
}

// push writes to the connection. A client that takes longer than streamWriteTimeout to read is disconnected.
func (r *relay) push() {
	defer func() { _ = r.conn.Close() }() // Whatever it says, the connection is gone.
	var spare []byte
	for range r.given {
		r.mu.Lock()
		out, isClosed := r.out, r.isClosed
		isFull := r.isFull
		r.out, r.isFull = spare[:0], false
		r.mu.Unlock()
		if len(out) > 0 {
			// It fails on a closed connection, as writing will.
			_ = r.conn.SetWriteDeadline(time.Now().Add(streamWriteTimeout))
			select {
			case <-r.closing: // Perhaps hurry came just before.
				r.hurry()
			default:
			}
			if _, err := r.conn.Write(out); err != nil {
				r.mu.Lock()
				r.err = err
				r.mu.Unlock()
				r.post()
				return
			}
		}
		if spare = out; cap(spare) > streamOutKept {
			spare = nil
		}
		if isClosed {
			return
		}
		if isFull {
			r.post()
		}
	}
}
