package ingest

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// watchedListener hands out connections that remember their end. A body in chunks that stops between two of them looks to a handler like
// one that is whole: fasthttp takes the end of the connection for the end of the body.
type watchedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l watchedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c}, nil
}

// connection is a client's.
type connection struct {
	net.Conn
	ended atomic.Bool // the client sends nothing more
}

// Read implements net.Conn.
func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		c.ended.Store(true)
	}
	return n, err
}

// cutShort reports whether a body in chunks ended with its connection, not with its last chunk: what follows a last chunk is not read.
func cutShort(c net.Conn) bool {
	watched, ok := c.(*connection)
	return ok && watched.ended.Load()
}
