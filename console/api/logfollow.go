package api

import (
	"bufio"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/query"
)

const mediaEvents = "text/event-stream"

// logFollow writes what comes to a log to a client, as server-sent events. One goroutine follows the log and encodes,
// another one writes. Between them lies a bounded mailbox; when that is full, the log is followed no further, and its
// reader lets the follower fall behind.
type logFollow struct {
	pieces
	mailbox
	h       *Handler
	token   *access.Token
	log     askedLog
	limit   int // 0: without end
	entries int
}

// followLog answers with the entries of a log that come. The order is that of the log, and every event has the place of
// its entry as its id, so a client that lost its connection goes on behind the last one.
func (c *call) followLog(log askedLog) error {
	limit, err := c.limit(0)
	if err != nil {
		return err
	}
	fromMs, err := c.beginAt(log)
	if err != nil {
		return err
	}
	if !c.followers.enter(c.token.Name) {
		return &event.Problem{Code: event.Overloaded, Detail: "too many logs are being followed already; try again later"}
	}
	leave := func() { c.followers.leave(c.token.Name) }
	if err := c.tellLogBegin(log.product(), fromMs); err != nil {
		leave()
		return err
	}
	c.ctx.SetContentType(mediaEvents)
	c.ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	c.ctx.Response.Header.Set("X-Accel-Buffering", "no") // nginx would gather events.
	if c.ctx.IsHead() {
		leave()
		return nil
	}
	c.ctx.Response.ImmediateHeaderFlush = true
	s := &logFollow{
		pieces: pieces{conn: c.ctx.Conn()}, mailbox: newMailbox(), h: c.Handler, token: c.token, log: log, limit: limit,
	}
	// The request must not be touched once the handler returned; a context of it ends with the server.
	ctx, cancel := context.WithCancel(c.ctx)
	c.ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer leave()
		defer cancel()
		go watchClient(ctx, s.conn, cancel)
		s.run(ctx, w)
	})
	return nil
}

// beginAt makes a log begin where a client goes on, or at a time, and returns the earliest time of what may come.
// Without either it begins now.
func (c *call) beginAt(log askedLog) (ms int64, err error) {
	f := log.filter()
	switch {
	case f.ToMs != 0:
		return 0, invalid("to", "does not go with follow: what comes has no end")
	case c.query("order") == "desc":
		return 0, invalid("order", "does not go with follow: what comes last is shown last")
	}
	if id := string(c.ctx.Request.Header.Peek("Last-Event-ID")); id != "" {
		at, ok := log.place(id)
		if !ok {
			return 0, invalid("Last-Event-ID", "must be the id of an event of this log")
		}
		log.goOn(at)
		return max(f.FromMs, at.DecidedMs), nil
	}
	if at, ok := log.place(c.query("cursor")); ok { // It is known to the log already.
		return max(f.FromMs, at.DecidedMs), nil
	}
	if f.FromMs == 0 {
		f.FromMs = c.engine.NowMs()
	}
	return f.FromMs, nil
}

// run writes until the client or the daemon ends it, the token is no longer good, or the log cannot be read: then the
// connection is closed, which the client sees as an answer that is not whole.
func (s *logFollow) run(ctx context.Context, w *bufio.Writer) {
	defer s.hurry(ctx)()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		// An id that no event has: a client goes on there, although nothing that it wants has come.
		idle := func(p query.ProductPlace) { s.put(ctx, "id: ", *s.log.cursor(p), "\n\n") }
		done <- s.log.follow(ctx, s.h.queries, idle, func(e *query.LogEntry) bool { return s.entry(ctx, e) })
	}()
	s.writeEvents(ctx, w, done)
	cancel()
	if err := <-done; err != nil && !errors.Is(err, shard.ErrStopped) && !errors.Is(err, context.Canceled) {
		_ = s.conn.Close() // What it fails with says nothing.
		s.h.logger.Error(
			"a log can no longer be followed",
			"product",
			s.log.product().Name,
			"entries",
			s.entries,
			"error",
			err,
		)
	}
}

// writeEvents writes what comes to the mailbox, and a comment when nothing does for long, until nothing more is to be
// written. What done had is in it again.
func (s *logFollow) writeEvents(ctx context.Context, w *bufio.Writer, done chan error) {
	tick := time.NewTicker(followLookEvery)
	defer tick.Stop()
	text, silent, ended := []byte(": ping\n\n"), 0, false
	for {
		if silent == followPingTicks {
			text = append(text, ": ping\n\n"...)
		}
		if len(text) > 0 {
			if s.write(ctx, w, text) != nil {
				return
			}
			silent = 0
		}
		if text = s.take(text); len(text) > 0 {
			if !s.isAllowed() {
				return
			}
			continue
		}
		if ended {
			return
		}
		select {
		case <-s.some:
		case <-tick.C:
			if silent++; !s.isAllowed() {
				return
			}
		case err := <-done:
			done <- err
			ended = true // What it left is to be written.
		case <-ctx.Done():
			return
		}
	}
}

// isAllowed reports whether the token is still good: nothing is sent after it was revoked or has expired.
func (s *logFollow) isAllowed() bool {
	return s.h.engine.Catalogue().Honors(s.token, s.h.engine.NowMs())
}

// entry puts an entry in the mailbox, once there is room, and reports whether more are wanted.
func (s *logFollow) entry(ctx context.Context, e *query.LogEntry) bool {
	line, err := lineOf(s.log, e)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	s.entries++
	return s.put(ctx, "event: log\nid: ", *s.log.cursor(e.Place), "\ndata: ", string(line), "\n") && s.entries != s.limit
}

// mailbox is text that one goroutine puts in and another one takes.
type mailbox struct {
	some, room chan struct{} // there may be text, there may be room

	mu   sync.Mutex
	text []byte
}

func newMailbox() mailbox { return mailbox{some: make(chan struct{}, 1), room: make(chan struct{}, 1)} }

// put adds text once less than mailboxBytes wait, and reports whether that was so before ctx ended.
func (m *mailbox) put(ctx context.Context, parts ...string) bool {
	for {
		m.mu.Lock()
		if len(m.text) < mailboxBytes {
			for _, part := range parts {
				m.text = append(m.text, part...)
			}
			m.mu.Unlock()
			signal(m.some)
			return true
		}
		m.mu.Unlock()
		select {
		case <-m.room:
		case <-ctx.Done():
			return false
		}
	}
}

// take returns what is there, and makes room. The memory of what was taken before is used again.
func (m *mailbox) take(before []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := m.text
	m.text = before[:0]
	signal(m.room)
	return text
}

// signal makes sure that whoever waits on c looks once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
