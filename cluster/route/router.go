package route

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/event/wire"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// Board knows who owns what; *board.Board is one.
type Board interface {
	// Owner returns the node that owns a cell, and where the cell's server listens there: HOST:PORT.
	Owner(cell int) (node, address string, epoch uint64, ok bool)
	// LetGo returns when a cell without an owner was let go of by its last one; zero: it was not.
	LetGo(cell int) time.Time
	// Changed returns a channel that is closed when something happens.
	Changed() <-chan struct{}
}

// Names knows which names are given in the cluster; *names.Directory, adapted, is it.
type Names interface {
	// Route returns what answers a call that gives or takes names, nil for any other.
	Route(method, path []byte) func(*fasthttp.RequestCtx)
	// Find asks the owner of cell 0 which cell has what a name is given to.
	Find(ctx context.Context, kind license.NameKind, name string) (cell int, found bool, err error)
}

// Options is what a Router is made of.
type Options struct {
	Cells int // of the cluster
	Board Board
	// Hop is what the nodes know each other by.
	Hop access.Hop
	// Peer returns how the cells of a node are called, nil without TLS; PeerTLS makes it. nil: no node has TLS.
	Peer func(node string) *tls.Config
	// Catalogues returns what this node's copy of a cell has, or had when it was closed; nil as long as there was none.
	Catalogues func(cell int) *license.Catalogue
	// Names gives names in a cluster of several cells; nil with one.
	Names Names
	// Gateways answers gateways' calls of tokens that are bound to no account; nil with one cell.
	Gateways fasthttp.RequestHandler
	// Documents answers /openapi.json and /docs.
	Documents fasthttp.RequestHandler
	// Metrics returns what /metrics shows of this node and of the cells that it owns.
	Metrics func() []metric.Part
	// Leaving reports whether the node is about to end.
	Leaving func() bool
	// Loopback lets /metrics be read without a token.
	Loopback bool
	Logger   *slog.Logger // nil: nobody is told
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("cluster/route: "+what))
		}
	}
	need(o.Cells > 0, "Cells must be positive")
	need(o.Board != nil, "Board is needed")
	need(o.Hop != "", "Hop is needed")
	need(o.Catalogues != nil, "Catalogues is needed")
	need(o.Names != nil || o.Cells == 1, "Names is needed with several cells")
	need(o.Gateways != nil || o.Cells == 1, "Gateways is needed with several cells")
	need(o.Documents != nil, "Documents is needed")
	need(o.Metrics != nil, "Metrics is needed")
	need(o.Leaving != nil, "Leaving is needed")
	return errors.Join(errs...)
}

// Router answers any request. It is safe for concurrent use.
type Router struct {
	o         Options
	logger    *slog.Logger
	links     links
	penalties *access.Penalties
	inner     access.Hop
	table     fasthttp.RequestHandler // of calls that concern several cells, or one of several
	merges    chan struct{}
	whose     whose
	made      time.Time
	waitMax   time.Duration // waitMax
	mergeIn   time.Duration // mergeWithin
	complete  atomic.Bool   // each cell had an owner at one time
}

// New returns a Router. Run must run as long as it is used.
func New(o Options) (*Router, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Router{
		o: o, logger: o.Logger, penalties: access.NewPenalties(nil), inner: o.Hop.Inner(),
		merges: make(chan struct{}, mergesMax), made: time.Now(),
		waitMax: waitMax, mergeIn: mergeWithin,
	}
	r.table = r.calls().Handler
	r.whose.r = r
	r.links.peer, r.links.owners = o.Peer, map[owner]*linksOf{}
	r.links.pieces.New = func() any { b := make([]byte, pieceBytes); return &b }
	return r, nil
}

// Run looks after the connections to owners until ctx is over, and closes them then.
func (r *Router) Run(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	defer r.links.close()
	for {
		select {
		case <-tick.C:
			r.links.sweep(time.Now(), r.stands)
		case <-ctx.Done():
			return
		}
	}
}

// RegisterMetrics adds the router's metrics to set.
func (r *Router) RegisterMetrics(set *metric.Set) {
	set.Gauges("meterd_cluster_links", "Connections to cells that requests are forwarded by.").Func(
		func() float64 { return float64(r.links.count()) },
	)
}

// owner returns where requests of a cell go.
func (r *Router) owner(cell int) (to owner, ok bool) {
	node, address, _, ok := r.o.Board.Owner(cell)
	return owner{cell: cell, node: node, address: address}, ok && address != ""
}

// stands returns what is known of an owner.
func (r *Router) stands(was owner) standing {
	switch is, ok := r.owner(was.cell); {
	case !ok:
		return lost
	case is != was:
		return replaced
	}
	return owns
}

// Handle answers one request.
func (r *Router) Handle(ctx *fasthttp.RequestCtx) {
	switch {
	case r.handleHere(ctx):
	case bytes.HasPrefix(ctx.Path(), []byte(innerPath)):
		r.refuse(ctx, &event.Problem{Code: event.NotFound, Detail: "there is nothing at this path"})
	case r.o.Cells == 1:
		r.forward(ctx, 0)
	case isGateways(ctx.Path()):
		r.byGateway(ctx)
	default:
		r.table(ctx)
	}
}

// innerPath is what the paths of calls begin with that only nodes may make.
const innerPath = "/internal/"

// refuse answers a request. If its body was not read to the end the connection cannot be used again.
func (r *Router) refuse(ctx *fasthttp.RequestCtx, p *event.Problem) {
	if ctx.Request.Header.ContentLength() != 0 && !ctx.IsGet() && !ctx.IsHead() {
		leaveUnread(ctx)
	}
	writeProblem(&ctx.Response, p)
}

// leaveUnread has the connection closed behind the answer, once the client had time to read it.
func leaveUnread(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	if c, ok := ctx.Conn().(interface{ LeaveUnread() }); ok {
		c.LeaveUnread()
	}
}

// hangUp closes the connection without an answer.
func hangUp(ctx *fasthttp.RequestCtx) {
	ctx.SetConnectionClose()
	_ = ctx.Conn().Close() // No answer may be sent, whether this works or not.
}

func overloaded(detail string) *event.Problem {
	return &event.Problem{Code: event.Overloaded, Detail: detail}
}

func writeProblem(to *fasthttp.Response, p *event.Problem) {
	to.SetStatusCode(p.Code.Status())
	to.Header.SetContentType("application/problem+json")
	switch p.Code.Status() {
	case fasthttp.StatusServiceUnavailable:
		to.Header.Set(fasthttp.HeaderRetryAfter, event.RetryAfter())
	case fasthttp.StatusUnauthorized:
		to.Header.Set(fasthttp.HeaderWWWAuthenticate, "Bearer")
	}
	to.SetBody(wire.AppendProblem(nil, p))
}
