package console

import (
	"bufio"
	"context"
	"net"
	"time"
)

// pieces writes an answer whose length is not known before to a client.
type pieces struct {
	conn   net.Conn
	isGone bool // the client took no more
}

// write writes bytes in pieces. The server gives a client one time for the whole answer; here it has that time for each
// piece, as long as the request has any.
func (p *pieces) write(ctx context.Context, w *bufio.Writer, bytes []byte) error {
	for len(bytes) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := bytes[:min(len(bytes), pieceBytes)]
		bytes = bytes[len(piece):]
		_ = p.conn.SetWriteDeadline(time.Now().Add(takeTimeout)) // It fails on a closed connection, as writing will.
		if _, err := w.Write(piece); err != nil {
			p.isGone = true
			return err
		}
	}
	_ = p.conn.SetWriteDeadline(time.Now().Add(takeTimeout))
	if err := w.Flush(); err != nil {
		p.isGone = true
		return err
	}
	return nil
}
