package ingest

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// watchedListener hands out connections that remember their end. A body in chunks that stops between two of them looks
// to a handler like one that is whole: fasthttp takes the end of the connection for the end of the body.
type watchedListener struct {
	net.Listener
	places *places
}

// Accept implements net.Listener.
func (l watchedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.places.take() {
			_, isTLS := c.(*tls.Conn)
			return &connection{Conn: c, places: l.places, exact: isTLS}, nil
		}
		_ = c.Close() // Nothing was said on it.
	}
}

// connection is a client's.
type connection struct {
	net.Conn
	places   *places
	isClosed atomic.Bool
	early    []byte      // was read already
	ended    atomic.Bool // the client sends nothing more
	hasRead  bool        // since giveWay
	// unread says that a request was answered before all of it had come. Then closing waits until the client has sent it,
	// for a while: the kernel answers what comes on a closed connection with a reset, which may overtake the answer.
	unread bool
	// exact says that every deadline is armed as it is set: TLS cannot go on after a write that was cut off.
	exact         bool
	readBy, putBy deadline
}

// Close implements net.Conn.
func (c *connection) Close() error {
	if !c.isClosed.Swap(true) {
		defer c.places.giveBack()
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.unread && half.CloseWrite() == nil {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerFor)) // It fails on a broken connection, as reading will.
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytesMax)   // What comes is nobody's any more.
	}
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn: it gives the descriptor that is below everything, to ask the kernel about it.
func (c *connection) SyscallConn() (syscall.RawConn, error) {
	below := c.Conn
	if over, ok := below.(*tls.Conn); ok {
		below = over.NetConn()
	}
	described, ok := below.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return described.SyscallConn()
}

// giveWay lets others run before the next request of c, if that was here already: who need not wait for his requests
// would have a processor for 10 ms at a time, and a hundred of them, each in turn, would keep a loop waiting for a
// second.
func (c *connection) giveWay() {
	if !c.hasRead {
		runtime.Gosched()
	}
	c.hasRead = false
}

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) {
	c.hasRead = true
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	for {
		n, err := c.Conn.Read(p)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, io.EOF):
			c.ended.Store(true)
		case n == 0 && !c.exact && c.readBy.early(err, c.Conn.SetReadDeadline):
			continue
		}
		return n, err
	}
}

// Write implements net.Conn.
func (c *connection) Write(p []byte) (int, error) {
	for done := 0; ; {
		n, err := c.Conn.Write(p[done:])
		done += n
		if err == nil || c.exact || !c.putBy.early(err, c.Conn.SetWriteDeadline) {
			return done, err
		}
	}
}

// SetReadDeadline implements net.Conn.
func (c *connection) SetReadDeadline(t time.Time) error {
	if c.exact {
		return c.Conn.SetReadDeadline(t)
	}
	return c.readBy.set(t, c.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *connection) SetWriteDeadline(t time.Time) error {
	if c.exact {
		return c.Conn.SetWriteDeadline(t)
	}
	return c.putBy.set(t, c.Conn.SetWriteDeadline)
}

// SetDeadline implements net.Conn.
func (c *connection) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// cutShort reports whether a body in chunks ended with its connection, not with its last chunk: what follows a last
// chunk is not read.
func cutShort(c net.Conn) bool {
	watched, ok := c.(*connection)
	return ok && watched.ended.Load()
}
