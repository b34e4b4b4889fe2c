package cells

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/event"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/shard"
)

// Owners reaches the owners of cells. It is safe for concurrent use.
type Owners interface {
	// Has reports whether a cell has an owner that can be asked. A hand-over is waited for.
	Has(ctx context.Context, cell int) bool
	// Ask has the owner of a cell answer a call. After an error that wraps ErrNotSent the owner does not have the call,
	// and never will; after any other one it may have done what it was asked for.
	Ask(ctx context.Context, cell int, call string, body []byte) (answer []byte, err error)
}

// ErrNotSent means that a call did not reach the owner of its cell.
var ErrNotSent = errors.New("the call was not sent")

// Options is what an Engine is made of.
type Options struct {
	Cells  int // of the cluster, more than one
	Owners Owners
	// Catalogues returns what this node's copy of a cell has, or had when it was closed; nil as long as there was none.
	Catalogues func(cell int) *license.Catalogue
	// NowMs is the wall clock, Unix milliseconds; nil: the machine's.
	NowMs  func() int64
	Logger *slog.Logger // nil: nobody is told
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("cluster/cells: "+what))
		}
	}
	need(o.Cells > 0 && o.Cells <= cellsMax, fmt.Sprintf("Cells must be 1 to %d", cellsMax))
	need(o.Owners != nil, "Owners is needed")
	need(o.Catalogues != nil, "Catalogues is needed")
	return errors.Join(errs...)
}

// Engine is that of package ingest for tokens that are bound to no account: it asks the owners of cells. It is safe for
// concurrent use.
type Engine struct {
	o       Options
	logger  *slog.Logger
	lines   lines
	settled settled
	watches watches
	ctx     context.Context //nolint:containedctx // It is the engine's life, not a call's.
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	stats   stats
}

// stats are counted for metrics.
type stats struct {
	whole, split, noted, closed atomic.Uint64
	// denied are events that no cell was asked for, by type and code
	denied [event.Types][event.InvalidEvent + 1]atomic.Uint64
}

// New returns an Engine. Run must run as long as it is used.
func New(o Options) (*Engine, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.NowMs == nil {
		o.NowMs = func() int64 { return time.Now().UnixMilli() }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{o: o, logger: o.Logger}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	e.lines.open = map[string]*line{}
	e.watches.init(o.Cells)
	for cell := range o.Cells {
		e.wg.Go(func() { e.watch(cell) })
	}
	return e, nil
}

// Close ends what runs for the engine. Requests that wait for an owner end without an answer.
func (e *Engine) Close() {
	e.cancel()
	e.wg.Wait()
}

// Catalogue returns the catalogue of cell 0, which has all tokens that are bound to no account.
func (e *Engine) Catalogue() *license.Catalogue {
	if c := e.o.Catalogues(0); c != nil {
		return c
	}
	return &license.Catalogue{}
}

// Durable returns at once: what this node's copy of cell 0 has is durable. It may lack a token that was made within the
// last moments.
func (e *Engine) Durable() error { return nil }

// NowMs is the time by which tokens expire, Unix milliseconds.
func (e *Engine) NowMs() int64 { return e.o.NowMs() }

// Submit has a batch decided by the cells that it concerns. Its errors are those of shard.Engine's.
func (e *Engine) Submit(r *shard.Request) error {
	t, err := e.begin(r)
	if err != nil {
		return err
	}
	return e.run(t, false)
}

// Check has the cells say what would be answered to a batch.
func (e *Engine) Check(r *shard.Request) error {
	t, err := e.begin(r)
	if err != nil {
		return err
	}
	return e.run(t, true)
}

// run asks all cells of a task at once, and puts their answers together.
func (e *Engine) run(t *task, isCheck bool) error {
	t.isCheck = isCheck
	if err := e.prepare(t); err != nil {
		return err
	}
	if len(t.parts) == 1 {
		e.askOne(&t.parts[0], t)
		return e.finish(t)
	}
	var all sync.WaitGroup
	for i := range t.parts {
		all.Go(func() { e.askOne(&t.parts[i], t) })
	}
	all.Wait()
	return e.finish(t)
}

// Decide is Submit for a batch of a stream: it returns at once, and r.Elsewhere says when Settle does not wait. Batches
// of one producer are decided in the order of these calls.
func (e *Engine) Decide(r *shard.Request) error {
	t, err := e.begin(r)
	if err != nil {
		return err
	}
	t.answer = &answer{done: make(chan struct{})}
	r.Elsewhere = t.answer
	e.lines.enter(e, t)
	return nil
}

// Settle waits for what Decide has begun.
func (e *Engine) Settle(r *shard.Request) error {
	a, ok := r.Elsewhere.(*answer)
	if !ok {
		return shard.ErrStopped
	}
	<-a.done
	r.Elsewhere = nil
	return a.err
}

// Watch has one value sent to c when Settle does not wait, unless c is full.
func (e *Engine) Watch(r *shard.Request, c chan<- struct{}) bool {
	if r.IsDurable() {
		return false
	}
	r.Elsewhere.Tell(func() {
		select {
		case c <- struct{}{}:
		default:
		}
	})
	return true
}

// answer is what became of a batch of a stream.
type answer struct {
	done chan struct{} // closed when err and the request are set
	err  error

	mu   sync.Mutex
	told []func()
}

// IsDone implements shard.Elsewhere.
func (a *answer) IsDone() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// Tell implements shard.Elsewhere.
func (a *answer) Tell(fn func()) {
	a.mu.Lock()
	isDone := a.IsDone()
	if !isDone {
		a.told = append(a.told, fn)
	}
	a.mu.Unlock()
	if isDone {
		fn()
	}
}

func (a *answer) set(err error) {
	a.err = err
	a.mu.Lock()
	close(a.done)
	told := a.told
	a.told = nil
	a.mu.Unlock()
	for _, fn := range told {
		fn()
	}
}

func noOwner() *event.Problem {
	return &event.Problem{Code: event.Overloaded, Detail: "a cell that this concerns has no owner now; send it again"}
}
