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

// watchedListener returns connections that remember whether the client has closed its side. A chunked body that stops
// between two chunks looks complete to a handler, because fasthttp takes the end of the connection for the end of the
// body.
type watchedListener struct {
	net.Listener
	limit *connLimit
}

// Accept implements net.Listener.
func (l watchedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.limit.acquire() {
			_, isTLS := c.(*tls.Conn)
			return &connection{Conn: c, limit: l.limit, exact: isTLS}, nil
		}
		_ = c.Close() // Nothing was written to it.
	}
}

// connection is a client's connection, served by fasthttp.
type connection struct {
	net.Conn
	limit    *connLimit
	isClosed atomic.Bool
	early    []byte      // bytes that a loop had read already
	ended    atomic.Bool // the client sends nothing more
	hasRead  bool        // since yield
	// unread means that a request was answered before its end was read. Close then reads the rest for a while: the kernel
	// answers data on a closed connection with a reset, and the reset may overtake the answer.
	unread bool
	// isCut means that Close cuts an answer off that ends with the connection (untilclose.go).
	isCut atomic.Bool
	// exact means that every deadline is armed as it is set: TLS cannot continue after a write that was cut off.
	exact         bool
	readBy, putBy deadline
}

// Close implements net.Conn.
func (c *connection) Close() error {
	if !c.isClosed.Swap(true) {
		defer c.limit.release()
	}
	if c.isCut.Load() {
		return c.reset()
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok && c.unread && half.CloseWrite() == nil {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lingerFor)) // It fails on a broken connection, as reading will.
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytesMax)   // Nobody needs what comes.
	}
	return c.Conn.Close()
}

// SyscallConn implements syscall.Conn. It returns the descriptor of the socket, also below TLS, so that a handler can
// ask the kernel whether the client is still connected.
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

// LeaveUnread has Close read the rest of a request for a while that was answered before its end.
func (c *connection) LeaveUnread() { c.unread = true }

// CutShort reports whether the client sends nothing more: a chunked body that looks complete may not be.
func (c *connection) CutShort() bool { return c.ended.Load() }

// yield lets other goroutines run before the next request of c if that request was already read. A client that
// pipelines requests never blocks in Read, so its goroutine would run until the scheduler preempts it after 10 ms; with
// a hundred such clients a loop would wait for a second.
func (c *connection) yield() {
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

// cutShort reports whether a chunked body ended with its connection and not with its last chunk.
func cutShort(c net.Conn) bool {
	watched, ok := c.(*connection)
	return ok && watched.CutShort()
}
