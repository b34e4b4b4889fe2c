package ingest

import (
	"bytes"
	"cmp"
	"context"
	"net"
	"slices"
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
	"github.com/meterd/meterd/shard/commands"
)

// streamProtocol is the WebSocket subprotocol of event streams.
const streamProtocol = "meterd.v1"

// eventStreams are the open event streams, and the loops that serve them.
type eventStreams struct {
	refused atomic.Uint64
	mu      sync.Mutex
	open    int           // guarded by mu
	none    chan struct{} // guarded by mu: closed when no stream is open; nil if nobody waits for it
	loops   []*loop       // guarded by mu
}

// serveWith has loops serve the streams that are opened from now on. Without them, as with TLS, the first stream starts
// a loop that has no sockets.
func (e *eventStreams) serveWith(loops []*loop) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.loops = loops
}

// enter adds a stream and returns the loop that is to serve it: the one with the fewest connections. It returns nil if
// there are too many streams, or the handler was closed.
func (e *eventStreams) enter(h *Handler) *loop {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-h.streams.closing:
		return nil
	default:
	}
	if e.open >= eventStreamsMax {
		e.refused.Add(1)
		return nil
	}
	if e.loops == nil {
		l := newLoopOf(h, nil)
		l.start()
		e.loops = []*loop{l}
	}
	e.open++
	l := slices.MinFunc(e.loops, func(a, b *loop) int { return cmp.Compare(a.open.Load(), b.open.Load()) })
	l.open.Add(1)
	return l
}

func (e *eventStreams) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.open--; e.open == 0 && e.none != nil {
		close(e.none)
		e.none = nil
	}
}

func (e *eventStreams) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.open
}

// ended returns a channel that is closed when no stream is open.
func (e *eventStreams) ended() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.none == nil {
		e.none = make(chan struct{})
	}
	none := e.none
	if e.open == 0 {
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
	set.Gauges("meterd_unread_answers_bytes", "Bytes of large answers that clients have not taken yet.").Func(
		func() float64 { return float64(h.unread.size()) },
	)
	set.Counters("meterd_unread_answers_cut_total",
		"Connections that were closed because their clients left the most answers unread.").Func(
		func() float64 { return float64(h.unread.cut.Load()) },
	)
}

// Finish returns when the event streams, which Close has told to end, have answered what was decided, or ctx is done.
func (h *Handler) Finish(ctx context.Context) {
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
		// The token decides, and no page makes a browser send it: where a client comes from says nothing.
		CheckOrigin: func(*fasthttp.RequestCtx) bool { return true },
	}
	_ = upgrader.Upgrade(ctx, func(c *websocket.Conn) { s.start(c.NetConn()) }) // refuseUpgrade has answered an error.
}

func refuseUpgrade(ctx *fasthttp.RequestCtx, _ int, reason error) {
	p := &event.Problem{Code: event.BadRequest, Detail: strings.TrimPrefix(reason.Error(), "websocket: ")}
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

// eventStream is a WebSocket on which one gateway sends batches and hears answers and commands. A loop serves it: it
// decides batches in the order in which they come, and answers them in this order, each when its group is durable. So a
// batch is decided while the one before it is being synced, and a group has batches of many streams.
//
//	socket ──► advance: frames ──► Decide ──► queue ──► send: durable? ──► Settle ──► frames ──► socket
//	               │   ▲              │ loop: Watch        ▲    ▲   ▲
//	               ▼   │              └──► group is durable┘    │   └─ sweep: pings, time limits
//	         aside: what takes long                             └───── tell: commands, end of the token
//
// The loop decides all that has arrived on all of its streams before it has any of it stored, and sends all answers of
// a stream that are due with one write.
//
// Nothing holds up the loop: a message that is long, in fragments, or has to wait for memory or the disk is decided
// aside, in a goroutine for this one message, and the stream is not read meanwhile. The answer to a large batch is made
// in the same way. A goroutine reads the commands (tell). A connection with TLS has two more (relay).
//
// The loop owns the fields, but for those of tell, those that are shared, and the reader while isAside is true. Those
// before carrier never change once the stream is open.
type eventStream struct {
	h       *Handler
	token   *access.Token
	who     shard.Listener // with the producer's name
	welcome wire.Welcome
	format  *format
	loop    *loop

	carrier     carrier
	isOpen      bool // the loop serves it
	isListed    bool // the loop runs it in this step or the next one
	wasReadable bool // isReadable, while aside owns that
	isHeld      bool // the next batch waits until fewer are in flight
	isAside     bool // a goroutine of aside owns the reader
	pingedAt    time.Time

	ending    *ending // why the stream ends; nil while it does not
	isClosing bool    // the close frame was written
	isGone    bool
	closeBy   time.Time
	left      int64 // bytes that are read at most before the client answers the close frame
	skip      int64 // bytes of a payload that is passed over

	// Shared by the loop and the goroutines of aside, of settle and of tell.
	over          chan struct{} // closed when ending is set
	hasHung       atomic.Bool   // reading will end
	credit        atomic.Int32  // batches that may be in flight
	inFlight      atomic.Int32  // batches that were read, and whose answers are not being written yet
	inFlightBytes atomic.Int64  // bytes of their messages
	isSettleDone  atomic.Bool   // the goroutine of settle has ended

	// Of tell.
	place   commands.Place         // of the last command that was handed to the loop
	told    chan []byte            // commands to be sent, in frames
	acked   atomic.Uint64          // commands that the client has carried out since tell looked
	acks    chan struct{}          // acked has grown
	stopped atomic.Pointer[ending] // why tell has ended the stream

	streamReader
	streamWriter
}

// inFlight is a batch whose answer is to be sent.
type inFlight struct {
	call     *call          // nil if it was refused
	problem  *event.Problem // why it was refused
	sequence uint64
	bytes    int64
	// isSettled means that the call was settled aside.
	isSettled bool
}

// ending says why a stream ends.
type ending struct {
	code   closeCode
	reason string
	// isClients means that the client has closed the stream.
	isClients bool
	// isSilent means that the client is gone, or that it is unknown what was stored: no close frame is sent.
	isSilent bool
	// mustWait ends nothing: it is returned instead of waiting, by what may not wait. Nothing has changed then, and the
	// same is done aside.
	mustWait bool
}

func newEventStream(h *Handler, token *access.Token, producer []byte) *eventStream {
	s := &eventStream{
		h: h, token: token, format: batchFormat(),
		who:  shard.Listener{Account: token.AccountID, Producer: producer, HasProducer: producer != nil},
		over: make(chan struct{}), told: make(chan []byte, 1), acks: make(chan struct{}, 1),
		welcome: wire.Welcome{
			Credit: streamCredit, CreditBytes: streamCreditBytes, EventsMax: event.EventsMax,
			FrameBytesMax: streamFrameBytesMax, IdleMs: uint32(streamIdleTimeout.Milliseconds()),
			CommandsCredit: streamCommandsCredit,
		},
	}
	s.credit.Store(streamCredit)
	return s
}

// start gives the stream and its hijacked connection to a loop, and returns at once: fasthttp's goroutine, its buffers
// and the request are free then.
func (s *eventStream) start(hijacked net.Conn) {
	conn := hijacked
	if h, ok := hijacked.(interface{ UnsafeConn() net.Conn }); ok {
		conn = h.UnsafeConn()
	}
	if s.loop = s.h.events.enter(s.h); s.loop == nil {
		_ = conn.Close() // The handshake is over: there is no other way to refuse.
		return
	}
	s.in = s.idle[:]
	if hijacked != conn {
		s.takeEarly(hijacked)
	}
	s.carrier = s.loop.carry(conn, s)
	s.loop.post(news{stream: s})
}

// takeEarly takes the bytes that fasthttp has read beyond the request: a client may send frames before it has read that
// its connection is a stream.
func (s *eventStream) takeEarly(hijacked net.Conn) {
	_ = hijacked.SetReadDeadline(longAgo()) // So that nothing is read but what is in memory. It cannot fail usefully.
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

// signal makes sure that the goroutine that waits on c runs once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
