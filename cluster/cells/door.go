package cells

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
	"github.com/meterd/meterd/shard/claims"
	"github.com/meterd/meterd/shard/commands"
)

// Cell is the engine of a cell, as a Door asks it.
type Cell interface {
	Decide(*shard.Request) error
	Settle(*shard.Request) error
	Check(*shard.Request) error
	Remember(*shard.Note) error
	Durable() error
	Catalogue() *license.Catalogue
	NowMs() int64
	Offline(token *access.Token, producer string) (devices int, err error)
	ForgetProducer(token *access.Token, producer string) (found bool, err error)
	Sequences(account uint32, producer string) (s claims.Sequences, ok bool, err error)
	CommandsFrom(id string) commands.Place
	Commands(after commands.Place, who shard.Listener) (
		list []shard.Command, next commands.Place, more <-chan struct{}, err error)
}

// DoorOptions is what a Door is made of.
type DoorOptions struct {
	Cell Cell
	// IsFirst says that nobody has owned the cell before: nobody was told anything.
	IsFirst bool
	// Key is what nodes know each other by when they ask for what no client may (access.Hop.Inner).
	Key    access.Hop
	Logger *slog.Logger // nil: nobody is told

	find findFunc // a test's
}

// findFunc returns the cell that has a product, or may come to have it, by the catalogue of cell 0. isOpen says that
// the product is being created: if that fails, another cell may come to have it.
type findFunc func(c *license.Catalogue, name string) (cell int, isOpen, found bool)

func findProduct(c *license.Catalogue, name string) (cell int, isOpen, found bool) {
	if c.Product([]byte(name)) != nil {
		return 0, false, true
	}
	if g := c.Given(license.NameProduct, name); g != nil {
		return g.Cell, g.Open, true
	}
	return 0, false, false
}

// Door answers what other nodes ask the owner of a cell. It lives as long as the node owns the cell, and is safe for
// concurrent use.
type Door struct {
	o       DoorOptions
	logger  *slog.Logger
	told    told
	bytes   atomic.Int64 // of the calls in hand
	calls   sync.Pool    // of *decideCall
	closing chan struct{}
	once    sync.Once
}

// NewDoor returns a Door.
func NewDoor(o DoorOptions) (*Door, error) {
	if o.Cell == nil || o.Key == "" {
		return nil, errors.New("cluster/cells: Cell and Key are needed")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.find == nil {
		o.find = findProduct
	}
	d := &Door{o: o, logger: o.Logger, closing: make(chan struct{})}
	d.calls.New = func() any { return &decideCall{} }
	if !o.IsFirst {
		d.told.allUntilMs = o.Cell.NowMs() + toldFor.Milliseconds()
	}
	return d, nil
}

// Close ends the calls that wait for something new. d may be nil.
func (d *Door) Close() {
	if d != nil {
		d.once.Do(func() { close(d.closing) })
	}
}

// Path is what the paths of calls between nodes begin with. No client may call them.
const Path = "/internal/cells/"

// Handle answers a call of another node. It returns false if the request is none.
func (d *Door) Handle(ctx *fasthttp.RequestCtx) bool {
	name, ok := strings.CutPrefix(string(ctx.Path()), Path)
	if !ok || !d.o.Key.Holds(ctx.Request.Header.Peek(access.HeaderHop)) || !ctx.IsPost() {
		return false // As if there were no such path.
	}
	length := ctx.Request.Header.ContentLength()
	if length < 0 || length > callBytesMax {
		ctx.SetConnectionClose()
		ctx.SetStatusCode(fasthttp.StatusRequestEntityTooLarge)
		return true
	}
	cost := int64(length) * doorCostFactor
	defer d.bytes.Add(-cost)
	if d.bytes.Add(cost) > doorBytesMax && cost > 0 {
		ctx.SetConnectionClose()
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		return true
	}
	body := make([]byte, length)
	stream := ctx.RequestBodyStream()
	if stream == nil {
		copy(body, ctx.Request.Body())
	} else if _, err := io.ReadFull(stream, body); err != nil {
		ctx.SetConnectionClose()
		ctx.SetStatusCode(fasthttp.StatusBadRequest)
		return true
	}
	answer, err := d.Answer(name, body)
	if err != nil {
		d.logger.Debug("a call of a node ended without an answer", "call", name, "error", err)
		ctx.SetConnectionClose()
		_ = ctx.Conn().Close() // No answer may be sent, whether this works or not.
		return true
	}
	ctx.SetContentType("application/octet-stream")
	ctx.SetBody(answer)
	return true
}

// Answer answers a call. After an error no answer may be sent. The call's body is the door's from now on.
func (d *Door) Answer(name string, body []byte) ([]byte, error) {
	switch name {
	case callDecide:
		return d.decide(body)
	case callRemember:
		return d.remember(body)
	case callNames:
		return d.names(body)
	case callProducer:
		return d.producer(body)
	case callCommands:
		return d.commands(body)
	}
	return nil, fmt.Errorf("%w: there is no call %q", errCall, name)
}

// token returns the token that a call names: the cell's own, or one that its gate refuses.
func (d *Door) token(w *who) *access.Token {
	if t := d.o.Cell.Catalogue().Token(w.token); t != nil && t.Hash == w.hash && t.AccountID == 0 {
		return t
	}
	return &access.Token{Name: w.token, Hash: w.hash, Role: access.RoleGateway}
}

// decideCall is the memory of a call that has batches decided.
type decideCall struct {
	requests []*shard.Request
	claims   []claims.Claim
	outcomes []outcome
	isCheck  []bool
}

// decide has the cell decide parts in their order, then waits until all are durable.
func (d *Door) decide(body []byte) ([]byte, error) {
	r := begin(body)
	from := r.who()
	n := r.count(streamCallRequests)
	c := d.calls.Get().(*decideCall) //nolint:forcetypeassert // New makes no others.
	defer d.release(c)
	token := d.token(&from)
	for range n {
		p := r.part()
		c.add(&p, token, from.producer)
	}
	if r.end() != nil || !c.decode() {
		return nil, errCall
	}
	if err := d.decideAll(c); err != nil {
		return nil, err
	}
	w := writer{}
	w.byte(version)
	for i := range c.outcomes {
		w.outcome(&c.outcomes[i])
	}
	return w.b, nil
}
