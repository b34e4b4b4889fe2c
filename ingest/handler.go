package ingest

import (
	"errors"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
)

// Engine decides events.
type Engine interface {
	// Submit is Decide and Settle.
	Submit(*shard.Request) error
	Decide(*shard.Request) error
	// Check is Submit for events that are not to be counted.
	Check(*shard.Request) error
	Settle(*shard.Request) error
	Watch(*shard.Request, chan<- struct{}) bool
	Offline(token *access.Token, producer string) (devices int, err error)
	ForgetProducer(token *access.Token, producer string) (found bool, err error)
	Catalogue() *license.Catalogue
	// Durable returns when what was read before the call may leave.
	Durable() error
	NowMs() int64
	Sequences(account uint32, producer string) (s claims.Sequences, ok bool, err error)
	CommandsFrom(id string) commands.Place
	Commands(
		after commands.Place,
		who shard.Listener,
	) (list []shard.Command, next commands.Place, more <-chan struct{}, err error)
}

// Options is what a Handler is made of.
type Options struct {
	Engine Engine
	// People answers every request that is not a gateway's call.
	People fasthttp.RequestHandler
	// AdmissionBytes bounds the memory that requests hold at a time; 1 GiB by default.
	AdmissionBytes int64
	// Hop is what nodes of the cluster know each other by; empty: no node forwards to this one.
	Hop access.Hop
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	if o.Engine == nil || o.People == nil {
		errs = append(errs, errors.New("ingest: Engine and People are needed"))
	}
	if o.AdmissionBytes < 0 {
		errs = append(errs, errors.New("ingest: AdmissionBytes must not be negative"))
	}
	return errors.Join(errs...)
}

// Handler answers gateways.
type Handler struct {
	engine    Engine
	people    fasthttp.RequestHandler
	admission admission
	streams   streams
	events    eventStreams
	unread    unread
	calls     sync.Pool // of *call
	penalties *access.Penalties
	hop       access.Hop
}

// NewHandler returns a Handler.
func NewHandler(o Options) (*Handler, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.AdmissionBytes == 0 {
		o.AdmissionBytes = admissionBytesDefault
	}
	h := &Handler{engine: o.Engine, people: o.People, penalties: access.NewPenalties(nil), hop: o.Hop}
	h.admission.most, h.unread.most = o.AdmissionBytes, unreadBytesMax
	h.streams.closing = make(chan struct{})
	h.calls.New = func() any { return newCall(h) }
	return h, nil
}

// Handle answers one request.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) {
	h.route(ctx)
	h.unread.hold(ctx)
}

func (h *Handler) route(ctx *fasthttp.RequestCtx) {
	switch path := string(ctx.Path()); {
	case path == "/v1/events":
		h.gateway(ctx, fasthttp.MethodPost, h.postEvents)
	case path == "/v1/stream":
		h.gateway(ctx, fasthttp.MethodGet, h.stream)
	case path == "/v1/check":
		h.gateway(ctx, fasthttp.MethodPost, h.check)
	case path == "/v1/commands":
		h.gateway(ctx, fasthttp.MethodGet, h.commands)
	case strings.HasPrefix(path, producersPath) && len(path) > len(producersPath):
		h.producer(ctx, path)
	default:
		h.people(ctx)
	}
}

// gateway checks method and token before a gateway's call.
func (h *Handler) gateway(ctx *fasthttp.RequestCtx, method string, call func(*fasthttp.RequestCtx, *access.Token)) {
	if string(ctx.Method()) != method {
		refuseMethod(ctx, method)
		return
	}
	if token := h.authorize(ctx); token != nil {
		call(ctx, token)
	}
}

// refuseMethod answers a request whose method is not among those that its path takes.
func refuseMethod(ctx *fasthttp.RequestCtx, allowed string) {
	ctx.Response.Header.Set("Allow", allowed)
	refuse(ctx, &event.Problem{Code: event.MethodNotAllowed, Detail: "use " + allowed})
}

// refuse answers a request whose body was not read: the connection cannot be used again.
func refuse(ctx *fasthttp.RequestCtx, p *event.Problem) {
	if ctx.Request.Header.ContentLength() != 0 {
		ctx.SetConnectionClose()
		if c, ok := ctx.Conn().(*connection); ok {
			c.LeaveUnread()
		}
	}
	writeProblem(&ctx.Response, p)
}

// fail answers an error of the engine. After ErrStopped it is unknown what reached the disk, so it closes the
// connection without an answer.
func fail(ctx *fasthttp.RequestCtx, err error) {
	p := shard.ProblemOf(err)
	if p == nil {
		ctx.SetConnectionClose()
		_ = ctx.Conn().Close() // No answer may be sent, whether this works or not.
		return
	}
	writeProblem(&ctx.Response, p)
}

func writeProblem(r *fasthttp.Response, p *event.Problem) {
	r.SetStatusCode(p.Code.Status())
	r.Header.SetContentType("application/problem+json")
	switch p.Code.Status() {
	case fasthttp.StatusServiceUnavailable:
		r.Header.Set("Retry-After", event.RetryAfter())
	case fasthttp.StatusUnauthorized:
		r.Header.Set("WWW-Authenticate", "Bearer")
	}
	r.SetBody(wire.AppendProblem(nil, p))
}
