package console

import (
	"bufio"
	"context"
	"errors"
	"net"
	"time"

	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// logStream writes a device's log to a client, a page after the other. It outlives the handler that began it. While the
// client takes a page, the stream holds that page and its goroutine, and nothing of the log.
type logStream struct {
	h      *Handler
	conn   net.Conn
	q      query.LogQuery
	limit  int // 0: all
	lines  int
	isGone bool // the client took no more
}

// streamLogs answers with a line an entry. leave is called when the stream has ended.
func (c *call) streamLogs(q query.LogQuery, limit int, leave func()) {
	c.ctx.SetContentType(ndjson)
	if c.ctx.IsHead() {
		leave()
		return
	}
	s := &logStream{h: c.Handler, conn: c.ctx.Conn(), q: q, limit: limit}
	// The request must not be touched once the handler returned; a context of it ends with the server.
	ctx, cancel := context.WithTimeout(c.ctx, logStreamWithin)
	c.ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer leave()
		defer cancel()
		go watchClient(ctx, s.conn, cancel)
		s.run(ctx, w)
	})
}

// run writes the whole log. A status was sent already: on an error the connection is closed, which the client sees as
// an answer that is not whole.
func (s *logStream) run(ctx context.Context, w *bufio.Writer) {
	err := s.writePages(ctx, w)
	if err == nil {
		return
	}
	_ = s.conn.Close() // What it fails with says nothing.
	if !s.isGone && !errors.Is(err, shard.ErrStopped) && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		s.h.logger.Error(
			"a log could not be streamed to its end",
			"product",
			s.q.Product.Name,
			"lines",
			s.lines,
			"error",
			err,
		)
	}
}

func (s *logStream) writePages(ctx context.Context, w *bufio.Writer) error {
	var p logPage
	for {
		limit := 0
		if s.limit > 0 {
			limit = s.limit - s.lines
		}
		err := p.read(ctx, s.h.queries, s.q, limit, logPageBytesMax, false)
		if failed := s.write(ctx, w, p.lines); failed != nil {
			return failed
		}
		s.lines += p.entries
		if err != nil || !p.isCut {
			return err
		}
		s.q.After = p.last
	}
}

// write writes lines in pieces. The server gives a client one time for the whole answer; here it has that time for each
// piece, as long as the request has any.
func (s *logStream) write(ctx context.Context, w *bufio.Writer, lines []byte) error {
	for len(lines) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := lines[:min(len(lines), logPieceBytes)]
		lines = lines[len(piece):]
		_ = s.conn.SetWriteDeadline(time.Now().Add(takeTimeout)) // It fails on a closed connection, as writing will.
		if _, err := w.Write(piece); err != nil {
			s.isGone = true
			return err
		}
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(takeTimeout))
	if err := w.Flush(); err != nil {
		s.isGone = true
		return err
	}
	return nil
}
