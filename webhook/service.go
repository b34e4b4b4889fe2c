package webhook

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/query"
	"github.com/meterd/meterd/shard/views"
	"github.com/meterd/meterd/webhook/send"
)

// Engine keeps the state; *shard.Engine is one.
type Engine interface {
	Catalogue() *license.Catalogue
	NowMs() int64
	IngestStopped(reason string) bool
}

// Queries looks at what Engine keeps; *query.Reader is one.
type Queries interface {
	View(fn func(*query.View)) error
	Outlooks(ctx context.Context, days int, want func(*license.Product) bool) (map[uint32]*query.Outlook, error)
}

// Options is what a Service is made of.
type Options struct {
	Store Store
	// End is the end of the log. A store that is new, or was lost, begins there: what was to be told before is unknown.
	End views.Position
	// Low says that the disk runs short of space: then little more is queued for each hook. Full says that it takes
	// nothing more: then nothing is sent either. nil: never.
	Low, Full func() bool
	Logger    *slog.Logger // nil: nobody is told

	// AllowPrivate lets hooks reach addresses that are not of the public internet.
	AllowPrivate bool
	Version      string // of the daemon, for receivers
}

// Service is the view that tells hooks what happened. Its methods are safe for concurrent use.
type Service struct {
	store   Store
	queue   *queue
	full    func() bool
	logger  *slog.Logger
	allow   bool
	sender  *send.Sender
	send    func(context.Context, *send.Call) send.Outcome
	counts  counts
	started time.Time

	delivers atomic.Bool // Start was called
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu       sync.Mutex
	couriers map[uint64]*courier // by hook
}

// counts are what /metrics shows.
type counts struct{ delivered, failed, dead atomic.Uint64 }

// Open opens the view. Start begins to deliver.
func Open(o Options) (*Service, error) {
	if o.Store == nil {
		return nil, errors.New("webhooks: Store is needed")
	}
	s := &Service{
		store: o.Store, full: o.Full, logger: o.Logger, allow: o.AllowPrivate, couriers: map[uint64]*courier{},
		cancel: func() {}, started: time.Now(),
		sender: send.New(send.Options{AllowPrivate: o.AllowPrivate, Version: o.Version}),
	}
	s.send = s.sender.Send
	if s.full == nil {
		s.full = func() bool { return false }
	}
	if o.Low == nil {
		o.Low = func() bool { return false }
	}
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if err := s.begin(o.End); err != nil {
		return nil, err
	}
	var err error
	s.queue, err = openQueue(o.Store, o.Low)
	return s, err
}

// begin has a new store begin at the end of the log.
func (s *Service) begin(end views.Position) error {
	_, begun, err := s.store.Get([]byte(keyBegun))
	if err != nil || begun {
		return err
	}
	entries := []ledger.Entry{put([]byte(keyBegun), struct{}{})}
	if end.Seq == 0 || s.Position().Seq > 0 {
		return s.store.WritePart(entries)
	}
	s.logger.Warn("the webhooks begin at the end of the log: what was to be told before, and was not, is not known",
		"group", end.Seq)
	return s.store.Write(entries, ledger.Position(end))
}

// Start begins to deliver, and to look for what the log does not say. It is called once.
func (s *Service) Start(engine Engine, queries Queries) error {
	look, err := newLookout(s, engine, queries)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.delivers.Store(true)
	s.wg.Go(func() { s.run(ctx, engine, look) })
	return nil
}

// run keeps a courier for every hook, until ctx ends.
func (s *Service) run(ctx context.Context, engine Engine, look *lookout) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	maintained := time.Now()
	for {
		s.follow(ctx, engine.Catalogue())
		if !s.full() {
			look.tick(ctx)
			if time.Since(maintained) >= maintainEvery {
				maintained = time.Now()
				if err := s.store.Maintain(ctx, engine.NowMs()); err != nil && ctx.Err() == nil {
					s.logger.Error("the store of the webhooks has failed; restart the daemon", "error", err)
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// follow starts couriers of new hooks, hands on what was changed, and removes what is left of deleted ones.
func (s *Service) follow(ctx context.Context, cat *license.Catalogue) {
	hooks, _ := cat.Hooks()
	there := make(map[uint64]bool, len(hooks))
	for _, h := range hooks {
		there[h.ID] = true
		s.employ(ctx, h)
	}
	s.mu.Lock()
	var over []*courier
	for id, c := range s.couriers {
		if !there[id] {
			over = append(over, c)
			delete(s.couriers, id)
		}
	}
	s.mu.Unlock()
	for _, c := range over {
		c.stop()
		<-c.done
	}
	for _, id := range s.queue.hooks() {
		if there[id] || id > cat.Seq { // The latter was made meanwhile.
			continue
		}
		for done := false; !done && ctx.Err() == nil; {
			var err error
			if done, err = s.queue.purge(id); err != nil {
				s.logger.Error("messages of a deleted webhook cannot be removed; it is tried again", "error", err)
				return
			}
		}
	}
}

// employ gives a hook a courier, or tells the one that it has of a change.
func (s *Service) employ(ctx context.Context, h *license.Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.couriers[h.ID]; c != nil {
		if c.hook.Swap(h) != h {
			signal(c.changed)
		}
		return
	}
	c := &courier{s: s, id: h.ID, changed: make(chan struct{}, 1), done: make(chan struct{})}
	c.hook.Store(h)
	s.couriers[h.ID] = c
	ctx, c.stop = context.WithCancel(ctx)
	s.wg.Go(func() { c.run(ctx) })
}

// Stop ends deliveries; what is on its way is sent again after the next start.
func (s *Service) Stop() {
	s.cancel()
	s.wg.Wait()
	s.sender.Close()
}

// Close implements views.View. Stop comes before.
func (s *Service) Close() error { return s.store.Close() }
