package ingest

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/shard"
)

// streamProtocol is the WebSocket subprotocol of event streams.
const streamProtocol = "meterd.v1"

// eventStreams are the open event streams.
type eventStreams struct {
	refused atomic.Uint64
	mu      sync.Mutex
	open    map[*eventStream]struct{} // guarded by mu
	none    chan struct{}             // guarded by mu: closed when no stream is open; nil if nobody waits for it
}

// enter adds a stream and returns true, or returns false if there are too many, or closing is closed.
func (e *eventStreams) enter(s *eventStream, closing <-chan struct{}) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-closing:
		return false
	default:
	}
	if len(e.open) >= eventStreamsMax {
		e.refused.Add(1)
		return false
	}
	if e.open == nil {
		e.open = map[*eventStream]struct{}{}
	}
	e.open[s] = struct{}{}
	return true
}

func (e *eventStreams) leave(s *eventStream) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if delete(e.open, s); len(e.open) == 0 && e.none != nil {
		close(e.none)
		e.none = nil
	}
}

func (e *eventStreams) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.open)
}

// hurry bounds what writes may take from now on: a client that reads nothing must not hold up the end of the daemon.
func (e *eventStreams) hurry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.open {
		_ = s.conn.SetWriteDeadline(time.Now().Add(streamCloseTimeout)) // It fails on a closed connection.
	}
}

// ended returns a channel that is closed when no stream is open.
func (e *eventStreams) ended() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.none == nil {
		e.none = make(chan struct{})
	}
	none := e.none
	if len(e.open) == 0 {
		close(e.none)
		e.none = nil
	}
	return none
}

// RegisterMetrics adds the handler's metrics to set.
func (h *Handler) RegisterMetrics(set *metric.Set) {
	set.Gauges("meterd_streams", "Event streams that are open.").Func(func() float64 {
		return float64(h.events.count())
	})
	set.Counters("meterd_streams_refused_total", "Event streams that were refused because too many were open.").Func(
		func() float64 { return float64(h.events.refused.Load()) },
	)
}

// Finish returns when the event streams, which Close has told to end, have answered what was decided, or ctx is done.
func (h *Handler) Finish(ctx context.Context) {
	h.events.hurry()
	select {
	case <-h.events.ended():
	case <-ctx.Done():
	}
}

// stream answers GET /v1/stream: the connection becomes an event stream.
func (h *Handler) stream(ctx *fasthttp.RequestCtx, token *access.Token) {
	producer, problem := streamProducer(ctx)
	if problem == nil && !offersProtocol(ctx) {
		problem = &event.Problem{
			Code: event.BadRequest, Field: "Sec-WebSocket-Protocol",
			Detail: "Sec-WebSocket-Protocol: open a WebSocket that offers " + streamProtocol,
		}
	}
	if problem != nil {
		refuse(ctx, problem)
		return
	}
	s := newEventStream(h, token, producer)
	after := ctx.Request.Header.Peek("Last-Event-ID")
	if len(after) == 0 {
		after = ctx.QueryArgs().Peek("last_command")
	}
	s.place = h.engine.CommandsFrom(string(after))
	if s.who.HasProducer {
		known, found, err := h.engine.Sequences(token.AccountID, string(producer))
		if err != nil {
			fail(ctx, err)
			return
		}
		s.welcome.HasSequences = found && known.Any
		s.welcome.LastSequence, s.welcome.OldestRemembered = known.Last, known.Oldest
	}
	if h.events.count() >= eventStreamsMax {
		h.events.refused.Add(1)
		refuse(ctx, &event.Problem{Code: event.Overloaded, Detail: "too many event streams are open"})
		return
	}
	// The library shakes hands; frames are read and written here, many at a time.
	upgrader := websocket.FastHTTPUpgrader{
		ReadBufferSize: 1, WriteBufferSize: 1, Subprotocols: []string{streamProtocol}, Error: refuseUpgrade,
	}
	_ = upgrader.Upgrade(ctx, func(c *websocket.Conn) { s.start(c.NetConn()) }) // refuseUpgrade has answered an error.
}

func refuseUpgrade(ctx *fasthttp.RequestCtx, status int, reason error) {
	p := &event.Problem{Code: event.BadRequest, Detail: strings.TrimPrefix(reason.Error(), "websocket: ")}
	if status == fasthttp.StatusForbidden {
		p.Code = event.Forbidden
	}
	ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
	refuse(ctx, p)
}

// streamProducer returns the producer that a stream names, nil if it names none.
func streamProducer(ctx *fasthttp.RequestCtx) ([]byte, *event.Problem) {
	header, query := fieldOf(&ctx.Request.Header, "Meterd-Producer"), ctx.QueryArgs().Peek("producer")
	name, where := header.value, "Meterd-Producer"
	if header.times == 0 {
		if !ctx.QueryArgs().Has("producer") {
			return nil, nil
		}
		name, where = query, "producer"
	}
	switch {
	case header.times > 1 || header.times == 1 && len(query) > 0 && !bytes.Equal(query, name):
		return nil, &event.Problem{Code: event.InvalidArgument, Field: where, Detail: where + ": name one producer, once"}
	case !event.ValidName(name):
		return nil, illProducer(where)
	}
	return bytes.Clone(name), nil
}

func offersProtocol(ctx *fasthttp.RequestCtx) bool {
	for name := range bytes.SplitSeq(ctx.Request.Header.Peek("Sec-WebSocket-Protocol"), []byte(",")) {
		if string(bytes.TrimSpace(name)) == streamProtocol {
			return true
		}
	}
	return false
}

// eventStream is a WebSocket on which one gateway sends batches and hears answers and commands. Two goroutines serve
// it. The reader decides batches in the order in which they come; the writer answers each, in this order, when its
// group is durable. So a batch is decided while the one before it is being synced.
//
//	socket ──► reader: frames ──► Decide ──► queue ──► writer: durable? ──► Settle ──► frames ──► socket
//	                                │ Watch                    ▲   ▲   ▲
//	                                └──► group is durable ─────┘   │   └─ ping, end of the token, end of the daemon
//	                                                 commands ─────┘
//
// The reader decides all batches that have arrived before it has them stored, and the writer sends all answers that are
// due with one write.
//
// Fields above reader and writer do not change; each of the two groups belongs to its goroutine.
type eventStream struct {
	h       *Handler
	conn    net.Conn
	token   *access.Token
	who     shard.Listener // with the producer's name
	welcome wire.Welcome
	format  *format

	wake chan struct{} // for the writer: a group is durable, or something is in the fields that mu guards
	room chan struct{} // for the reader: fewer batches are in flight, or more may be
	over chan struct{} // closed by the writer: the reader must end
	read chan struct{} // closed when the reader has ended

	inFlight      atomic.Int32 // batches that were read, and whose answers are not being written yet
	inFlightBytes atomic.Int64 // of their messages
	credit        atomic.Int32 // batches that may be in flight; the writer changes it

	mu    sync.Mutex
	queue []inFlight // guarded by mu: decided, not answered, in order
	pong  []byte     // guarded by mu: the payload of the client's last ping, nil without one
	acked uint32     // guarded by mu: commands that the client has carried out since the writer looked
	end   *ending    // guarded by mu: why the reader has ended

	streamReader
	streamWriter
}

// inFlight is a batch whose answer is to be sent.
type inFlight struct {
	call     *call          // nil if it was refused
	problem  *event.Problem // why it was refused
	sequence uint64
	bytes    int64
}

// ending says why a stream ends.
type ending struct {
	code   closeCode
	reason string
	// isClients means that the client has closed the stream.
	isClients bool
	// isSilent means that the client is gone, or that it is unknown what was stored: no close frame is sent.
	isSilent bool
}

func newEventStream(h *Handler, token *access.Token, producer []byte) *eventStream {
	s := &eventStream{
		h: h, token: token, format: batchFormat(),
		who:  shard.Listener{Account: token.AccountID, Producer: producer, HasProducer: producer != nil},
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1),
		over: make(chan struct{}), read: make(chan struct{}),
		welcome: wire.Welcome{
			Credit: streamCredit, CreditBytes: streamCreditBytes, EventsMax: event.EventsMax,
			FrameBytesMax: streamFrameBytesMax, IdleMs: uint32(streamIdleTimeout.Milliseconds()),
			CommandsCredit: streamCommandsCredit,
		},
	}
	s.credit.Store(streamCredit)
	return s
}

// start begins to serve the stream on a hijacked connection, and returns at once: fasthttp's goroutine, its buffers and
// the request are free then.
func (s *eventStream) start(hijacked net.Conn) {
	s.conn = hijacked
	if h, ok := hijacked.(interface{ UnsafeConn() net.Conn }); ok {
		s.conn = h.UnsafeConn()
	}
	if !s.h.events.enter(s, s.h.streams.closing) {
		_ = s.conn.Close() // The handshake is over: there is no other way to refuse.
		return
	}
	s.in = s.idle[:]
	if hijacked != s.conn {
		s.takeEarly(hijacked)
	}
	go s.receive()
	go func() {
		defer s.h.events.leave(s)
		s.serve()
	}()
}

// takeEarly takes the bytes that fasthttp has read beyond the request: a client may send frames before it has read that
// its connection is a stream.
func (s *eventStream) takeEarly(hijacked net.Conn) {
	_ = s.conn.SetReadDeadline(longAgo()) // So that nothing is read but what is in memory. It cannot fail usefully.
	for {
		if s.to == len(s.in) {
			s.in = append(s.in, make([]byte, len(s.in))...)
		}
		n, err := hijacked.Read(s.in[s.to:])
		s.to += n
		if err != nil || n == 0 {
			return // Anything but the deadline comes again with the next read.
		}
	}
}

// longAgo is a deadline that has passed.
func longAgo() time.Time { return time.Unix(1, 0) }
