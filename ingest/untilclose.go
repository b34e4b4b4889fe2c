package ingest

import (
	"bufio"
	"crypto/tls"
	"net"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"
)

// untilClose sends a streamed answer to a client of HTTP/1.0, which knows no chunks: the body ends with the connection
// (RFC 9112, 6.1). fasthttp chunks every stream whose length it does not know, so the answer is written here, and
// fasthttp is told to write none.
func untilClose(ctx *fasthttp.RequestCtx) {
	c := ctx.Conn().(*connection) //nolint:forcetypeassert // Listen makes no others.
	c.isCut.Store(true)
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(hijacked net.Conn) { _ = hijacked.Close() }) // It fails on a closed connection.
	ctx.Response.Header.SetContentLength(untilCloseLength)
	ctx.Response.Header.Del(fasthttp.HeaderTransferEncoding)
	_ = c.SetWriteDeadline(time.Now().Add(writeTimeout)) // It fails on a closed connection, as writing will.
	w := bufio.NewWriterSize(c, headerBytesMax)
	err := ctx.Response.Header.Write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil && !ctx.IsHead() {
		err = ctx.Response.BodyWriteTo(c) // Each piece leaves as it comes.
	}
	// Whoever writes the stream sees that it is closed. It fails with nothing that the client could be told.
	_ = ctx.Response.CloseBodyStream()
	c.isCut.Store(err != nil)
}

// untilCloseLength is fasthttp's length of a body that ends with its connection.
const untilCloseLength = -2

// isEndless reports whether an answer is a stream whose length is not known.
func isEndless(r *fasthttp.Response) bool { return r.IsBodyStream() && r.Header.ContentLength() < 0 }

// reset closes the connection in the middle of an answer that ends with it. A client would take an orderly end for the
// end of the answer, so there is none: neither that of TCP nor that of TLS.
func (c *connection) reset() error {
	if raw, err := c.SyscallConn(); err == nil {
		// If it fails, the connection is broken already, and the client sees that.
		_ = raw.Control(func(fd uintptr) {
			_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		})
	}
	if over, ok := c.Conn.(*tls.Conn); ok {
		return over.NetConn().Close()
	}
	return c.Conn.Close()
}
