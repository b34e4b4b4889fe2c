package names

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/cluster/call"
	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/shard"
)

// Engine is the one of a cell that this node owns; *shard.Engine is one.
type Engine interface {
	Catalogue() *license.Catalogue
	NowMs() int64
	Durable() error
	Administer(name string, token *access.Token, fn shard.ChangeFunc) error
}

// OwnerOptions is what an Owner is made of.
type OwnerOptions struct {
	Cell   int
	Engine Engine
	Client *call.Client
	// Truth returns this node's copy of cell 0's catalogue, of whatever age, nil for none yet; and what returns nil when
	// it is durable, which is only called for a copy that is new. It is not for cell 0.
	Truth  func() (copied *license.Catalogue, durable func() error)
	Logger *slog.Logger
}

// Validate reports every fault at once.
func (o *OwnerOptions) Validate() error {
	var errs []error
	if o.Engine == nil || o.Client == nil || o.Logger == nil {
		errs = append(errs, errors.New("names: an owner has an engine, a client and a logger"))
	}
	if o.Cell != 0 && o.Truth == nil {
		errs = append(errs, errors.New("names: the owner of a cell that is not cell 0 needs cell 0's catalogue"))
	}
	return errors.Join(errs...)
}

// Owner does what the directory needs of a cell's owner, for as long as this node is it.
type Owner struct {
	o      OwnerOptions
	server *call.Server
	end    context.CancelFunc
	ended  <-chan struct{}
	work   sync.WaitGroup
	seen   seen // cells but 0
}

// Own begins to answer for a cell, and to do what its owner does by itself.
func Own(o OwnerOptions) (*Owner, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	w := &Owner{o: o}
	w.seen.init()
	var ctx context.Context
	ctx, w.end = context.WithCancel(context.Background())
	w.ended = ctx.Done()
	methods := map[string]call.Method{methodRefuse: call.Handle(w.refuse), methodLoad: call.Handle(w.load)}
	if o.Cell == 0 {
		methods[methodReserve] = call.Handle(w.reserve)
		methods[methodReopen] = call.Handle(w.reopen)
		methods[methodSettle] = call.Handle(w.settle)
		methods[methodFind] = call.Handle(w.find)
		methods[methodChanges] = call.Handle(w.changes)
		w.work.Go(func() { w.resume(ctx) })
	} else {
		methods[methodMirrored] = call.Handle(w.mirrored)
		w.work.Go(func() { w.mirror(ctx) })
	}
	var err error
	if w.server, err = call.Serve(o.Client, o.Cell, methods, o.Logger); err != nil {
		w.end()
		w.work.Wait()
		return nil, err
	}
	return w, nil
}

// RegisterMetrics adds the owner's metrics to set.
func (w *Owner) RegisterMetrics(set *metric.Set) {
	if w.o.Cell == 0 {
		set.Gauges("meterd_cluster_names_open", "Names that are being given or taken back just now.").Func(
			func() float64 { return float64(len(w.o.Engine.Catalogue().OpenNames())) },
		)
		return
	}
	set.Gauges("meterd_cluster_mirrored_change",
		"The change of cell 0 up to which the cell has taken over tokens and webhooks without an account.",
	).Func(func() float64 { now, _ := w.seen.get(); return float64(now) })
}

// Close ends it. The engine must be open, or have failed, so that nothing waits for it for ever.
func (w *Owner) Close() error {
	w.end()
	err := w.server.Close()
	w.work.Wait()
	return err
}

// actor is whom changes of the directory are made by. They have no entry in the audit log: what they are for has one.
const actor = "cluster"

// administer makes a change that no client has asked for as such. Whatever the engine refuses is told as a problem.
func (w *Owner) administer(fn shard.ChangeFunc) error {
	return told(w.o.Engine.Administer(actor, nil, fn))
}

// told makes a problem of an error that a caller may be told.
func told(err error) error {
	if p := shard.ProblemOf(err); p != nil {
		return p
	}
	return err
}

func (w *Owner) reserve(r reservation) (any, error) {
	var g *license.Given
	err := w.administer(
		func(c *license.Catalogue, by license.Actor) (n *license.Catalogue, ch *license.Change, err error) {
			n, ch, g, err = c.ReserveName(by, r.Kind, r.Name, r.Cell)
			return n, ch, err
		})
	if err != nil {
		return nil, err
	}
	return given{Cell: g.Cell, Number: g.Number}, nil
}

func (w *Owner) reopen(r nameMessage) (any, error) {
	var g *license.Given
	err := w.administer(
		func(c *license.Catalogue, by license.Actor) (n *license.Catalogue, ch *license.Change, err error) {
			n, ch, g, err = c.ReopenName(by, r.Kind, r.Name)
			return n, ch, err
		})
	if err != nil || g == nil {
		return given{}, err
	}
	return given{Cell: g.Cell, Number: g.Number}, nil
}

func (w *Owner) settle(s settlement) (any, error) {
	err := w.administer(
		func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
			n, ch := c.SettleName(by, s.Kind, s.Name, s.Number, s.IsThere)
			return n, ch, nil
		})
	return struct{}{}, err
}

func (w *Owner) find(m nameMessage) (any, error) {
	c := w.o.Engine.Catalogue()
	p := place{IsGiven: c.IsTaken(m.Kind, m.Name)}
	if g := c.Given(m.Kind, m.Name); g != nil {
		p = place{IsGiven: true, Cell: g.Cell}
	}
	return p, told(w.o.Engine.Durable())
}

func (w *Owner) changes(struct{}) (any, error) {
	seq := w.o.Engine.Catalogue().Seq
	return seq, told(w.o.Engine.Durable())
}

// load says how full the cell is. It decides where an account goes, and nothing else, so nobody proves it.
func (w *Owner) load(struct{}) (any, error) {
	devices, accounts := w.o.Engine.Catalogue().Load()
	return load{devices, accounts}, nil
}

func (w *Owner) refuse(r refusal) (any, error) {
	var isThere bool
	err := w.administer(func(c *license.Catalogue, by license.Actor) (*license.Catalogue, *license.Change, error) {
		isThere = c.Has(r.Kind, r.Name)
		n, ch := c.RefuseNames(by, r.UpTo)
		return n, ch, nil
	})
	if err == nil {
		err = told(w.o.Engine.Durable()) // A refusal of what was refused leaves no record to wait for.
	}
	return isThere, err
}
