package console

import (
	"bufio"
	"context"
	"errors"

	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// logStream writes a device's log to a client, a page after the other. It outlives the handler that began it. While the
// client takes a page, the stream holds that page and its goroutine, and nothing of the log.
type logStream struct {
	pieces
	h     *Handler
	q     query.LogQuery
	limit int // 0: all
	lines int
}

// streamLogs answers with a line an entry. leave is called when the stream has ended.
func (c *call) streamLogs(q query.LogQuery, limit int, leave func()) {
	c.ctx.SetContentType(mediaNDJSON)
	if c.ctx.IsHead() {
		leave()
		return
	}
	s := &logStream{pieces: pieces{conn: c.ctx.Conn()}, h: c.Handler, q: q, limit: limit}
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
