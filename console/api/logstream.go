package api

import (
	"bufio"
	"context"
	"errors"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

// logStream writes a log to a client. It outlives the handler that began it. The log of a device, and a part of a
// product's, is read a page after the other: while the client takes a page, the stream holds that page and its
// goroutine, and nothing of the log. All of a product's is sorted first, and the stream holds what is sorted.
type logStream struct {
	pieces
	h     *Handler
	log   askedLog
	media string
	limit int // 0: all
	lines int
}

// streamLog answers with a log as a media type. leave is called when the stream has ended.
func (c *call) streamLog(log askedLog, media string, limit int, leave func()) {
	c.ctx.SetContentType(media)
	if media == mediaParquet {
		c.ctx.Response.Header.Set(
			fasthttp.HeaderContentDisposition, `attachment; filename="`+log.product().Name+`.parquet"`)
	}
	c.ctx.Response.ImmediateHeaderFlush = true // All of a product may have to be sorted before anything is there.
	if c.ctx.IsHead() {
		leave()
		return
	}
	s := &logStream{pieces: pieces{conn: c.ctx.Conn()}, h: c.Handler, log: log, media: media, limit: limit}
	within := logStreamWithin
	if s.isSorted() {
		within = sortedStreamWithin
	}
	c.stream(&s.pieces, within, leave, s.run)
}

// isSorted reports whether the log is sorted on the disk as a whole.
func (s *logStream) isSorted() bool {
	_, ofProduct := s.log.(*productLog)
	return ofProduct && s.limit == 0
}

// run writes the whole log. A status was sent already: on an error the connection is closed, which the client sees as
// an answer that is not whole.
func (s *logStream) run(ctx context.Context, w *bufio.Writer) {
	write := s.writePages
	switch {
	case s.media == mediaParquet:
		write = s.writeParquet
	case s.isSorted():
		write = s.writeSorted
	}
	err := write(ctx, w)
	if err == nil {
		return
	}
	_ = s.conn.Close() // What it fails with says nothing.
	if !s.isGone && !errors.Is(err, shard.ErrStopped) && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		s.h.logger.Error(
			"a log could not be streamed to its end",
			"product", s.log.product().Name, "lines", s.lines, "error", err,
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
		err := p.read(ctx, s.h.queries, s.log, limit, logPageBytesMax, false)
		if failed := s.write(ctx, w, p.lines); failed != nil {
			return failed
		}
		s.lines += p.entries
		if err != nil || !p.isCut {
			return err
		}
		s.log.goOn(p.last)
	}
}

// writeSorted writes entries as they come. What came is written early: what a product did last is there at once, and
// what comes behind it must be sorted first.
func (s *logStream) writeSorted(ctx context.Context, w *bufio.Writer) error {
	var p logPage
	var failed error
	flush := func() bool {
		failed = s.write(ctx, w, p.lines)
		s.lines += p.entries
		p.lines, p.entries = p.lines[:0], 0
		return failed == nil
	}
	err := s.log.each(ctx, s.h.queries, 0, func(e *query.LogEntry) bool {
		var line []byte
		if line, failed = lineOf(s.log, e); failed != nil {
			return false
		}
		p.add(line, e)
		return len(p.lines) < pieceBytes || flush()
	})
	if failed == nil {
		flush()
	}
	if failed != nil {
		return failed
	}
	return err
}
