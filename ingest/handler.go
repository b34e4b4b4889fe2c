package ingest

import (
	"errors"
	"math/rand/v2"
	"strconv"
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
	Settle(*shard.Request) error
	Watch(*shard.Request, chan<- struct{}) bool
	Offline(account uint32, producer string) (devices int, err error)
	ForgetProducer(token string, account uint32, producer string) (found bool, err error)
	Catalogue() *license.Catalogue
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
	// People answers everything that is no gateway's call.
	People fasthttp.RequestHandler
	// AdmissionBytes bounds the memory that requests hold at a time; 1 GiB by default.
	AdmissionBytes int64
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
	calls     sync.Pool // of *call
	penalties *access.Penalties
}

// NewHandler returns a Handler.
func NewHandler(o Options) (*Handler, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.AdmissionBytes == 0 {
		o.AdmissionBytes = admissionBytesDefault
	}
	h := &Handler{engine: o.Engine, people: o.People, penalties: access.NewPenalties(nil)}
	h.admission.most = o.AdmissionBytes
	h.streams.closing = make(chan struct{})
	h.calls.New = func() any { return newCall(h) }
	return h, nil
}

// Handle answers one request.
func (h *Handler) Handle(ctx *fasthttp.RequestCtx) {
	switch path := string(ctx.Path()); {
	case path == "/v1/events":
		h.gateway(ctx, fasthttp.MethodPost, h.events)
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

// refuse answers a request that was not read to its end: the connection cannot be used again.
func refuse(ctx *fasthttp.RequestCtx, p *event.Problem) {
	if ctx.Request.Header.ContentLength() != 0 {
		ctx.SetConnectionClose()
		if c, ok := ctx.Conn().(*connection); ok {
			c.unread = true
		}
	}
	writeProblem(&ctx.Response, p)
}

// fail answers what the engine could not do. After ErrStopped nobody knows what reached the disk: the connection is
// closed.
func fail(ctx *fasthttp.RequestCtx, err error) {
	p := problemOf(err)
	if p == nil {
		ctx.SetConnectionClose()
		_ = ctx.Conn().Close() // No answer may leave; what it fails with says nothing.
		return
	}
	writeProblem(&ctx.Response, p)
}

// problemOf says what to answer to an error of the engine; nil means that no answer may leave.
func problemOf(err error) (p *event.Problem) {
	switch {
	case errors.As(err, &p):
	case errors.Is(err, claims.ErrTooOld):
		p = &event.Problem{
			Code:   event.SequenceTooOld,
			Field:  "Meterd-Sequence",
			Detail: "Meterd-Sequence: it lies before what is remembered; ask GET /v1/producers/{producer}",
		}
	case errors.Is(err, claims.ErrReused):
		p = &event.Problem{
			Code:   event.SequenceReused,
			Field:  "Meterd-Sequence",
			Detail: "Meterd-Sequence: it was sent with another body",
		}
	case errors.Is(err, claims.ErrTooManyInFlight):
		p = &event.Problem{Code: event.Overloaded, Detail: "64 requests of this producer wait for their answers already"}
	case errors.Is(err, shard.ErrClockLeap):
		p = &event.Problem{
			Code:   event.ClockLeap,
			Detail: "the clock leapt ahead by more than an hour; set it right, or confirm it with POST /v1/clock/confirm",
		}
	case errors.Is(err, shard.ErrDiskFull):
		p = &event.Problem{Code: event.DiskFull, Detail: "the disk is nearly full; free some space"}
	case errors.Is(err, shard.ErrOutOfMemory):
		p = &event.Problem{
			Code: event.OutOfMemory,
			Detail: "a device connects for the first time, and memory for the device table cannot be had; " +
				"give the daemon more memory; devices that were active before go on",
		}
	case errors.Is(err, shard.ErrOverloaded):
		p = &event.Problem{Code: event.Overloaded, Detail: "too many requests at once; send it again"}
	}
	return p
}

func writeProblem(r *fasthttp.Response, p *event.Problem) {
	r.SetStatusCode(p.Code.Status())
	r.Header.SetContentType("application/problem+json")
	switch p.Code.Status() {
	case fasthttp.StatusServiceUnavailable:
		seconds := retryAfterMinSeconds + rand.IntN(retryAfterSpreadSeconds)
		r.Header.Set("Retry-After", strconv.Itoa(seconds))
	case fasthttp.StatusUnauthorized:
		r.Header.Set("WWW-Authenticate", "Bearer")
	}
	r.SetBody(wire.AppendProblem(nil, p))
}
