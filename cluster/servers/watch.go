package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// WatchOptions says which servers are watched.
type WatchOptions struct {
	Ask Source
	// Peers returns the servers that have replicas of the cells' streams; none while there are no streams. It may also
	// return what is wrong with a stream itself.
	Peers    func(context.Context) ([]Peer, error)
	Replicas int          // how many servers there must be before there are streams
	Logger   *slog.Logger // nil: nobody is told
}

// Watch looks at the servers again and again. Look and Run belong to one goroutine, Fault to any.
type Watch struct {
	o      WatchOptions
	unseen int
	fault  atomic.Pointer[error]
}

// NewWatch makes a Watch that has seen nothing, and no fault.
func NewWatch(o WatchOptions) *Watch {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Watch{o: o}
}

// Look looks once, and returns what is wrong. A server that is not seen is a fault here.
func (w *Watch) Look(ctx context.Context) error {
	peers, looked := w.peers(ctx)
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	list, asked := w.o.Ask(ctx)
	if looked != nil { // Who has replicas is not known: what is wrong with a server that answers is a fault all the same.
		return errors.Join(Examine(list, nil, 0), looked)
	}
	if len(list) == 0 && asked != nil {
		if errors.Is(asked, ErrUnseen) {
			return asked
		}
		return fmt.Errorf("what the servers do with their disks %w: %w", ErrUnseen, asked)
	}
	if err := Examine(list, peers, w.o.Replicas); err != nil {
		return errors.Join(err, asked)
	}
	return nil
}

// peers asks for the servers that have replicas. It has a time of its own: one stream that does not answer takes all of
// it.
func (w *Watch) peers(ctx context.Context) ([]Peer, error) {
	if w.o.Peers == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askMax)
	defer cancel()
	peers, err := w.o.Peers(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the streams: %w", err)
	}
	return peers, nil
}

// Run looks every 10 s until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(examineEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := w.Look(ctx)
		if ctx.Err() != nil {
			return
		}
		w.judge(err)
	}
}

// judge makes a fault of what was found.
func (w *Watch) judge(err error) {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrUnseen) && !errors.Is(err, ErrWrong) {
		return // Leaders are elected, or this node is cut off and stores nothing. What was seen last holds.
	}
	if err == nil || errors.Is(err, ErrWrong) {
		w.unseen = 0
	} else if w.unseen++; w.unseen < unseenMax {
		return // Servers start, leaders are elected.
	}
	before := w.Fault()
	switch {
	case err == nil && before != nil:
		w.o.Logger.Info("the servers of NATS are in order again")
	case err != nil && (before == nil || before.Error() != err.Error()):
		w.o.Logger.Error("the servers of NATS must not be trusted with what is acknowledged: events stop here", "error", err)
	}
	if err == nil {
		w.fault.Store(nil)
		return
	}
	w.fault.Store(&err)
}

// Fault returns what is wrong, nil while nothing is. While it is not nil this node must not own a cell.
func (w *Watch) Fault() error {
	if err := w.fault.Load(); err != nil {
		return *err
	}
	return nil
}
