package route

import (
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// tunnel carries the bytes of an event stream in both directions, until one of its ends closes. Its pings and its
// deadlines are the owner's; here only a piece has a time to be taken.
func (l *link) tunnel(ctx *fasthttp.RequestCtx) {
	ctx.Hijack(func(client net.Conn) {
		_ = l.Conn.SetDeadline(time.Time{}) // It fails on a closed connection, as reading will.
		// What came behind the header is in a buffer, which is let go when it is empty, for a stream may be idle for days.
		down := io.MultiReader(io.LimitReader(l.in, int64(l.in.Buffered())), l.Conn)
		l.in, l.out = nil, nil
		up := make(chan struct{})
		go func() {
			defer close(up)
			carry(l.Conn, client)
			// The client sends nothing more; the owner decides what it still gets.
			if half, ok := l.Conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				l.end()
			}
		}()
		carry(client, down)
		l.end()
		_ = client.Close() // It fails on a closed connection.
		<-up
	})
}

// carry copies until either end has no more.
func carry(to net.Conn, from io.Reader) {
	buffer := make([]byte, tunnelBytes)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			_ = to.SetWriteDeadline(time.Now().Add(tunnelTimeout)) // It fails on a closed connection, as writing will.
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
