package console

import (
	"bufio"
	"context"
	"errors"
	"net"
	"time"

	"github.com/meterd/meterd/shard"
)

// logStream writes a device's log to a client while it is read. It outlives the handler that began it.
type logStream struct {
	h       *Handler
	conn    net.Conn
	q       shard.LogQuery
	limit   int // 0: all
	lines   int
	line    []byte
	renewed time.Time
	err     error // of encoding or writing a line
}

// streamLogs answers with a line an entry.
func (c *call) streamLogs(q shard.LogQuery, limit int) {
	c.ctx.SetContentType(ndjson)
	if c.ctx.IsHead() {
		return
	}
	s := &logStream{h: c.Handler, conn: c.ctx.Conn(), q: q, limit: limit}
	// The request must not be touched once the handler returned; a context of it ends with the server.
	ctx, cancel := context.WithCancel(c.ctx)
	c.ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer cancel()
		s.run(ctx, w)
	})
}

// run writes the whole log. A status was sent already: on an error the connection is closed, which the client sees as
// an answer that is not whole.
func (s *logStream) run(ctx context.Context, w *bufio.Writer) {
	err := s.h.engine.DeviceLog(ctx, s.q, func(e *shard.LogEntry) bool { return s.write(w, e) })
	s.renew()
	if err == nil {
		err = s.err
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		return
	}
	_ = s.conn.Close() // What it fails with says nothing.
	if s.err == nil && !errors.Is(err, shard.ErrStopped) && !errors.Is(err, context.Canceled) {
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

// write writes one entry and reports whether more are wanted.
func (s *logStream) write(w *bufio.Writer, e *shard.LogEntry) bool {
	if time.Since(s.renewed) >= deadlineEvery {
		s.renew()
	}
	if s.line, s.err = appendLogLine(s.line[:0], e); s.err != nil {
		return false
	}
	if _, s.err = w.Write(s.line); s.err != nil {
		return false // The client is gone.
	}
	s.lines++
	return s.limit == 0 || s.lines < s.limit
}

// renew gives the client time from now on: the server gives it once for the whole answer, which may take longer to
// find.
func (s *logStream) renew() {
	s.renewed = time.Now()
	_ = s.conn.SetWriteDeadline(s.renewed.Add(takeTimeout)) // It fails on a closed connection, as writing will.
}
