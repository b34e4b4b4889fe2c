package ingest

import (
	"bufio"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/commands"
)

// streams are the open command streams.
type streams struct {
	open    atomic.Int64
	closing chan struct{} // closed when the daemon stops
}

// commands answers GET /v1/commands with commands as server-sent events, until the client disconnects or the daemon
// stops.
func (h *Handler) commands(ctx *fasthttp.RequestCtx, token *access.Token) {
	s := &commandStream{h: h, token: token, conn: ctx.Conn()}
	if ctx.QueryArgs().Has("producer") {
		name := ctx.QueryArgs().Peek("producer")
		if !event.ValidName(name) {
			refuse(ctx, illProducer("producer"))
			return
		}
		s.who.Producer, s.who.HasProducer = append([]byte(nil), name...), true
	}
	s.who.Account = token.AccountID
	s.place = h.engine.CommandsFrom(string(ctx.Request.Header.Peek("Last-Event-ID")))
	if h.streams.open.Add(1) > streamsMax {
		h.streams.open.Add(-1)
		writeProblem(&ctx.Response, &event.Problem{Code: event.Overloaded, Detail: "too many command streams are open"})
		return
	}
	ctx.SetContentType("text/event-stream")
	ctx.Response.Header.Set("Cache-Control", "no-store")
	ctx.Response.ImmediateHeaderFlush = true
	ctx.SetBodyStreamWriter(s.run)
}

// commandStream writes commands to one client. A client that reads nothing is disconnected after streamWriteTimeout and
// can resume with Last-Event-ID.
type commandStream struct {
	h     *Handler
	token *access.Token
	who   shard.Listener
	place commands.Place
	conn  net.Conn
	line  []byte
}

func (s *commandStream) run(w *bufio.Writer) {
	defer s.h.streams.open.Add(-1)
	beat := time.NewTicker(heartbeatEvery)
	defer beat.Stop()
	var expired <-chan time.Time
	if ms := s.token.ExpiresAtMs; ms != 0 {
		timer := time.NewTimer(time.Duration(ms-s.h.engine.NowMs()+1) * time.Millisecond)
		defer timer.Stop()
		expired = timer.C
	}
	s.line = append(s.line[:0], ": meterd\n\n"...)
	for s.allowed() {
		list, next, more, err := s.h.engine.Commands(s.place, s.who)
		if err != nil {
			return
		}
		for i := range list {
			s.append(&list[i])
		}
		s.place = next
		if !s.write(w) {
			return
		}
		if len(list) > 0 {
			continue
		}
		select {
		case <-more:
		case <-expired:
		case <-beat.C:
			s.line = append(s.line, ": alive\n\n"...)
		case <-s.h.streams.closing:
			return
		}
	}
}

// allowed reports whether the token is still valid: nothing is sent after it was revoked or has expired.
func (s *commandStream) allowed() bool {
	return s.h.engine.Catalogue().Honors(s.token, s.h.engine.NowMs())
}

// append encodes one command as a server-sent event.
func (s *commandStream) append(c *shard.Command) {
	b := append(s.line, "id: "...)
	b = c.Place.AppendText(b)
	if c.Device == "" {
		b = append(b, "\nevent: refresh\ndata: {\"product\":\""...)
		b = append(b, c.Product...) // Names need no escapes.
		s.line = append(b, "\"}\n\n"...)
		return
	}
	b = append(b, "\nevent: disconnect\ndata: {\"product\":\""...)
	b = append(b, c.Product...)
	b = append(b, `","device":"`...)
	b = append(b, c.Device...)
	b = append(b, `","reason":"`...)
	b = append(b, c.Reason.String()...)
	s.line = append(b, "\"}\n\n"...)
}

// write sends the encoded events and reports whether that worked.
func (s *commandStream) write(w *bufio.Writer) bool {
	if len(s.line) == 0 {
		return true
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(streamWriteTimeout)) // It fails on a closed connection, as writing will.
	_, err := w.Write(s.line)
	s.line = s.line[:0]
	return err == nil && w.Flush() == nil
}

// Close ends the open command streams and event streams; their clients connect again later.
func (h *Handler) Close() { close(h.streams.closing) }
