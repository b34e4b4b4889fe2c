package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The phases of a load. Figures are of batches answered while it measures; the check is of all batches.
const (
	phaseWarmup int32 = iota
	phaseMeasure
	phaseStop
)

// load is a set of callers that run together: a closed loop.
type load struct {
	callers  []*caller
	began    time.Time
	split    time.Time // the instant of outcome.split, or zero
	phase    atomic.Int32
	cut      atomic.Bool   // callers stop waiting for answers
	duration time.Duration // of the measured window; 0: until the sources end
	warmup   time.Duration
	rate     int                         // batches a second of all callers together; 0: as many as they can
	begin    func(context.Context) error // called when the measured window begins
	end      func(context.Context) error // called when it ends
	watch    func(context.Context) error // called every watchEvery within it
	progress func(elapsed time.Duration, events uint64)
	outcome  *outcome
}

// outcome is what a load measured. Until the load is over, the poller owns the first group of fields.
type outcome struct {
	events   uint64 // answered within the window
	batches  uint64
	latency  *hdrhistogram.Histogram // of these batches, in nanoseconds
	timeline timeline                // of all phases
	split    split

	window    time.Duration
	perSecond []uint64      // events of each watchEvery of the window
	from, to  time.Duration // the window, within the timeline
	answered  uint64        // all events, including the warm-up and the batches in flight at the end
	each      []uint64      // the same, for each caller
}

func newOutcome() *outcome {
	return &outcome{latency: hdrhistogram.New(int64(latencyUnit), int64(latencyMax), latencyDigits)}
}

// stall is the longest time within the window in which no answer came.
func (o *outcome) stall() time.Duration { return o.timeline.stall(o.from, o.to) }

// run runs all callers to the end. When it returns no caller runs any more.
func (l *load) run(ctx context.Context) (*outcome, error) {
	o := newOutcome()
	l.outcome = o
	poller, err := newPoller(l)
	if err != nil {
		return nil, errors.Join(err, l.gather(o))
	}
	defer func() { _ = poller.close() }() // Nothing depends on this descriptor.
	finished := make(chan struct{})
	if l.warmup == 0 {
		if err := l.begin(ctx); err != nil {
			return nil, errors.Join(err, l.gather(o))
		}
		l.phase.Store(phaseMeasure)
	}
	l.began = time.Now()
	go func() {
		defer close(finished)
		poller.run()
	}()
	err = l.conduct(ctx, finished, o)
	l.phase.Store(phaseStop)
	return o, errors.Join(l.drain(finished), l.gather(o), err)
}

// conduct waits for the warm-up and the window, and reads the daemon's metrics meanwhile.
func (l *load) conduct(ctx context.Context, finished <-chan struct{}, o *outcome) error {
	measuring := l.warmup == 0
	turn := time.NewTimer(l.warmup)
	if measuring {
		turn.Reset(l.duration)
	}
	if l.duration == 0 && measuring {
		turn.Stop()
	}
	defer turn.Stop()
	watch := time.NewTicker(watchEvery)
	defer watch.Stop()
	windowFrom, shown := l.began, l.began
	windowEvents := uint64(0)
	over := func() error {
		o.from, o.to = windowFrom.Sub(l.began), time.Since(l.began)
		o.window = o.to - o.from
		return l.end(ctx)
	}
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-finished:
			if l.duration > 0 {
				return errors.New("the callers ended before the window")
			}
			return over()
		case <-turn.C:
			if measuring {
				l.phase.Store(phaseStop)
				return over()
			}
			if err := l.begin(ctx); err != nil {
				return err
			}
			measuring, windowFrom, windowEvents = true, time.Now(), l.answered()
			l.phase.Store(phaseMeasure)
			turn.Reset(l.duration)
			watch.Reset(watchEvery)
		case now := <-watch.C:
			answered := l.answered()
			if measuring {
				o.perSecond = append(o.perSecond, answered-windowEvents)
				windowEvents = answered
				if err := l.watch(ctx); err != nil {
					return err
				}
			}
			if now.Sub(shown) >= progressEvery {
				shown = now
				l.progress(now.Sub(l.began), answered)
			}
		}
	}
}

func (l *load) answered() (events uint64) {
	for _, c := range l.callers {
		events += c.answered.Load()
	}
	return events
}

// drain waits for the batches in flight. After drainWithin it gives up.
func (l *load) drain(finished <-chan struct{}) error {
	limit := time.NewTimer(drainWithin)
	defer limit.Stop()
	select {
	case <-finished:
		return nil
	case <-limit.C:
	}
	l.cut.Store(true)
	<-finished
	return fmt.Errorf("a batch got no answer within %s", drainWithin)
}

// gather adds up the events that callers had answered, and closes their connections.
func (l *load) gather(o *outcome) error {
	var errs []error
	for i, c := range l.callers {
		o.answered += c.answered.Load()
		o.each = append(o.each, c.answered.Load())
		if c.err != nil {
			errs = append(errs, fmt.Errorf("connection %d: %w", i, c.err))
		}
		_ = c.session.line().Close() // Nothing is in flight any more.
	}
	if len(errs) > 3 {
		errs = append(errs[:3], fmt.Errorf("and %d more", len(errs)-3))
	}
	return errors.Join(errs...)
}
