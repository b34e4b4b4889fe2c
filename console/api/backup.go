package api

import (
	"bufio"
	"context"
	"errors"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
)

// mediaTar is a copy of the data directory.
const mediaTar = "application/x-tar"

// orNode has a call answered for a node of the cluster, which has no token.
func (h *Handler) orNode(guarded fasthttp.RequestHandler, answer func(*call) error) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		if !h.o.Hop.Inner().Holds(ctx.Request.Header.Peek(access.HeaderHop)) {
			guarded(ctx)
			return
		}
		c := &call{Handler: h, ctx: ctx, token: &access.Token{Name: "node"}, catalogue: h.engine.Catalogue()}
		if err := errors.Join(answer(c), h.engine.Durable()); err != nil {
			h.fail(ctx, err)
		}
	}
}

// backup answers GET /v1/backup: the data directory as of now, as a tar whose last file says that it is whole.
func (c *call) backup() error {
	c.ctx.SetContentType(mediaTar)
	if c.ctx.IsHead() {
		return nil
	}
	if !c.backups.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "another backup is being made; send it again later"}
	}
	leave := func() { c.backups.leave(c.token.Name) }
	cut, err := c.o.Backup(c.ctx)
	if err != nil {
		leave()
		if errors.Is(err, backup.ErrNoRoom) { // Nothing was begun.
			return &event.Problem{Code: event.DiskFull, Detail: err.Error()}
		}
		return err
	}
	s := &backupStream{pieces: pieces{conn: c.ctx.Conn()}, h: c.Handler, cut: cut, token: c.token.Name}
	c.stream(&s.pieces, backupWithin, leave, s.run)
	return nil
}

// backupStream sends a copy. It outlives the handler that began it.
type backupStream struct {
	pieces
	h     *Handler
	cut   *backup.Cut
	token string
	bytes int64
}

// run sends the copy. On an error the connection is closed, and what was sent has no manifest.
func (s *backupStream) run(ctx context.Context, w *bufio.Writer) {
	began := time.Now()
	m, err := s.cut.Write(ctx, &backupWriter{s, ctx, w})
	if err = errors.Join(err, s.cut.Close()); err == nil {
		s.h.logger.Info("a backup was read", "token", s.token, "group", m.Group, "bytes", s.bytes,
			"seconds", time.Since(began).Seconds())
		return
	}
	_ = s.conn.Close() // What it fails with says nothing.
	if !errors.Is(err, shard.ErrStopped) {
		s.h.logger.Error("a backup could not be read to its end", "token", s.token, "bytes", s.bytes, "error", err)
	}
}

// backupWriter is an io.Writer to the client.
type backupWriter struct {
	s   *backupStream
	ctx context.Context
	w   *bufio.Writer
}

// Write has the client take some bytes.
func (t *backupWriter) Write(b []byte) (int, error) {
	if err := t.s.write(t.ctx, t.w, b); err != nil {
		return 0, err
	}
	t.s.bytes += int64(len(b))
	return len(b), nil
}
