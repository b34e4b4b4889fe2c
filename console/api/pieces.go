package api

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

// stream sends a body while run makes it, within a time, and calls leave when it has ended.
func (c *call) stream(
	p *pieces, within time.Duration, leave func(), run func(ctx context.Context, w *bufio.Writer),
) {
	// The request must not be touched once the handler returned; a context of it ends with the server.
	ctx, cancel := context.WithTimeout(c.ctx, within)
	c.ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer leave()
		defer cancel()
		defer p.hurry(ctx)()
		go watchClient(ctx, p.conn, cancel)
		run(ctx, w)
	})
}

// hurry gives the client little time for what is being written once ctx is over. stop must be called.
func (p *pieces) hurry(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() { p.allow(endWithin) })
}

// allow gives the client so long to take what is written next.
func (p *pieces) allow(d time.Duration) {
	_ = p.conn.SetWriteDeadline(time.Now().Add(d)) // It fails on a closed connection, as writing will.
}

// begin gives the client its time for a piece, or a little and an error if ctx is over.
func (p *pieces) begin(ctx context.Context) error {
	p.allow(takeTimeout)
	err := ctx.Err() // Looked at last: if ctx is over only now, hurry is still to come.
	if err != nil {
		p.allow(endWithin)
	}
	return err
}

// write writes bytes in pieces. The server gives a client one time for the whole answer; here it has that time for each
// piece, as long as the request has any.
func (p *pieces) write(ctx context.Context, w *bufio.Writer, bytes []byte) error {
	for len(bytes) > 0 {
		if err := p.begin(ctx); err != nil {
			return err
		}
		piece := bytes[:min(len(bytes), pieceBytes)]
		bytes = bytes[len(piece):]
		if _, err := w.Write(piece); err != nil {
			p.isGone = true
			return err
		}
	}
	_ = p.begin(ctx) // What is written leaves in any case.
	if err := w.Flush(); err != nil {
		p.isGone = true
		return err
	}
	return nil
}
