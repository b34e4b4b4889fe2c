package views

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/license"
	"github.com/meterd/meterd/metric"
)

// Source reads the log where the tail does not reach. It is safe for concurrent use.
type Source interface {
	// First is the oldest group that is kept, Last the newest.
	First() uint64
	Last() Position
	// ChainOf returns the position of a group that is kept.
	ChainOf(seq uint64) (Position, error)
	// Read returns groups behind after, about bytesMax bytes of them, at least one if there is any.
	Read(after uint64, bytesMax int) ([]*Group, error)
}

// Options says which views follow which log.
type Options struct {
	// Views come in the order in which they yield: while Short says that the disk runs short of space, all but the last
	// one rest that are not Slight. The last one frees segments of the log.
	Views []View
	Short func() bool // nil: never
	// Full says that the disk has no room for any view: all of them rest, and hold the log's segments. nil: never.
	Full    func() bool
	Source  Source
	LastMs  int64 // decided time of the last event of the source's last group, Unix milliseconds
	Devices Devices
	// Catalogue is what held at the end of the log when the runner is opened.
	Catalogue *license.Catalogue
	// AcceptGap has a view begin later when groups that it would need are gone from the log.
	AcceptGap bool
	// Moved, when not nil, is told how far a view has come, by the view's goroutine, before those who wait for that.
	Moved func(view View, seq uint64)
	// Failed, when not nil, is told why a view cannot follow the log, each time that it was tried, by the view's
	// goroutine.
	Failed func(view View, err error)
	Logger *slog.Logger
}

// Errors of WaitFor.
var (
	// ErrLags means that the view has not reached the group in time.
	ErrLags = errors.New("the view lags behind the log")
	// ErrStopped means that the runner was closed.
	ErrStopped = errors.New("the views have stopped")
)

// ErrApart is wrapped by what Open says of a view that does not fit the log.
var ErrApart = errors.New("it does not fit the log")

// Runner has views follow the log. Its methods are safe for concurrent use.
type Runner struct {
	o         Options
	followers []*follower
	stop      chan struct{}
	ctx       context.Context // ends with stop
	cancel    context.CancelFunc
	wg        sync.WaitGroup

	mu    sync.Mutex
	tail  []*Group // durable groups that follow each other; the last one is last
	bytes int      // of tail
	last  uint64
	// lastMs is the last decided time of group last.
	lastMs int64
	// catalogues are those that views may still ask for, each from the first group that was decided under it.
	catalogues []catalogueFrom
}

type catalogueFrom struct {
	from      uint64
	catalogue *license.Catalogue
}

// follower is one view on its way along the log. mu of the runner guards what waits; the rest belongs to its goroutine.
type follower struct {
	r        *Runner
	view     View
	applier  Applier   // view, or nil
	reader   LogReader // view, or nil
	yields   bool
	kick     chan struct{} // there are many groups, or somebody waits
	passed   atomic.Uint64 // as Position
	passedMs atomic.Int64
	failed   atomic.Bool
	fromMs   atomic.Int64  // as Status.AvailableFromMs
	moved    chan struct{} // closed when passed moves; guarded by the runner's mu
	pins     []*pin        // by group; guarded by the runner's mu
}

// Open compares every view's position with the log and starts following. It refuses a view of another history, and one
// whose next group is gone from the log, unless AcceptGap is set.
func Open(o Options) (*Runner, error) {
	r := &Runner{o: o, stop: make(chan struct{}), last: o.Source.Last().Seq, lastMs: o.LastMs}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.catalogues = []catalogueFrom{{0, o.Catalogue}}
	for i, v := range o.Views {
		_, slight := v.(Slight)
		if err := r.check(v); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.Name(), err)
		}
		f := &follower{
			r:      r,
			view:   v,
			yields: i < len(o.Views)-1 && !slight,
			kick:   make(chan struct{}, 1),
			moved:  make(chan struct{}),
		}
		f.applier, _ = v.(Applier)
		f.reader, _ = v.(LogReader)
		if f.applier == nil && f.reader == nil {
			panic("BUG: " + v.Name() + " is neither an Applier nor a LogReader")
		}
		f.passed.Store(v.Position().Seq)
		if err := f.readBegin(); err != nil {
			return nil, fmt.Errorf("view %s: %w", v.Name(), err)
		}
		r.followers = append(r.followers, f)
	}
	for _, f := range r.followers {
		r.wg.Go(f.run)
	}
	return r, nil
}

// check compares a view's position with the log.
func (r *Runner) check(v View) error {
	at, first, last := v.Position(), r.o.Source.First(), r.o.Source.Last()
	switch {
	case at.Seq > last.Seq:
		return fmt.Errorf("%w: it has group %d, but the log ends at group %d: they are from different instants; "+
			"restore the whole data directory from one backup", ErrApart, at.Seq, last.Seq)
	case at.Seq+1 < first:
		return r.gap(v, first)
	case at.Seq == 0:
		if _, gathers := v.(LogReader); last.Seq > 0 && !gathers { // One that gathers may hold nothing for hours.
			r.o.Logger.Warn("a view is empty and is built from the log", "view", v.Name(), "groups", last.Seq)
		}
		return nil
	}
	have, err := r.o.Source.ChainOf(at.Seq)
	if _, reads := v.(LogReader); err != nil && reads {
		// A start needs nothing of it, so damage there must not refuse one. Reading on from there finds it again.
		r.o.Logger.Error("a view cannot be compared with the log", "view", v.Name(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	if have != at {
		return fmt.Errorf("%w: its group %d is not the log's, it belongs to another history; move its directory away, and "+
			"it is built again from the log", ErrApart, at.Seq)
	}
	return nil
}

// gap is what becomes of a view whose next groups are gone.
func (r *Runner) gap(v View, first uint64) error {
	at := v.Position().Seq
	if !r.o.AcceptGap {
		return fmt.Errorf("%w: it ends with group %d, but the log begins with group %d: the groups between are gone. "+
			"Restore the view's directory from a backup, or start once with --accept-view-gap to go on without them",
			ErrApart, at, first)
	}
	to, err := r.o.Source.ChainOf(first - 1)
	if err != nil {
		return err
	}
	groups, err := r.o.Source.Read(first-1, 1)
	if err != nil {
		return err
	}
	var fromMs int64
	if len(groups) > 0 {
		fromMs = groups[0].FirstMs
	}
	r.o.Logger.Warn("a view goes on behind a gap", "view", v.Name(), "ended_with_group", at, "goes_on_with_group", first)
	return v.Skip(to, fromMs)
}

// Durable gives the views a group that the log has. Groups come in their order. It never waits for a view.
func (r *Runner) Durable(g *Group) {
	r.mu.Lock()
	r.tail = append(r.tail, g)
	r.bytes += g.bytes()
	r.last, r.lastMs = g.Seq, g.LastMs
	if newest := len(r.catalogues) - 1; r.catalogues[newest].catalogue != g.Catalogue {
		if len(r.catalogues) == cataloguesMax {
			r.catalogues = append(r.catalogues[:0], r.catalogues[cataloguesMax/2:]...)
		}
		r.catalogues = append(r.catalogues, catalogueFrom{g.Seq, g.Catalogue})
	}
	many := r.bytes >= applyBytesMax
	drop := 0
	for ; drop < len(r.tail)-1 && (r.bytes > tailBytesMax || len(r.tail)-drop > tailGroupsMax); drop++ {
		r.bytes -= r.tail[drop].bytes()
		r.tail[drop] = nil
	}
	r.tail = r.tail[drop:]
	r.mu.Unlock()
	if many {
		for _, f := range r.followers {
			signal(f.kick)
		}
	}
}

// catalogueOf returns the catalogue that a group was decided under. r.mu is held.
func (r *Runner) catalogueOf(seq uint64) *license.Catalogue {
	for i := len(r.catalogues) - 1; i > 0; i-- {
		if r.catalogues[i].from <= seq {
			return r.catalogues[i].catalogue
		}
	}
	return r.catalogues[0].catalogue
}

// signal makes sure that the goroutine that waits on c runs once more; it never blocks.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Passed returns the last group that every view has durably passed.
func (r *Runner) Passed() uint64 {
	passed := ^uint64(0)
	for _, f := range r.followers {
		passed = min(passed, f.passed.Load())
	}
	return passed
}

// applied returns the last group that every view has durably passed that is given groups: what memory holds of them is
// not needed any more.
func (r *Runner) applied() uint64 {
	passed := r.last
	for _, f := range r.followers {
		if f.applier != nil {
			passed = min(passed, f.passed.Load())
		}
	}
	return passed
}

// PassedMs returns an instant, Unix milliseconds: of everything that was decided before it and is durable, the view has
// all, durably. 0 until that is known.
func (r *Runner) PassedMs(view View) int64 {
	f := r.of(view)
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.passed.Load() >= r.last && r.last > 0 {
		return r.lastMs + 1
	}
	return f.passedMs.Load()
}

// readBegin reads where the view begins.
func (f *follower) readBegin() error {
	gapped, ok := f.view.(Gapped)
	if !ok {
		return nil
	}
	ms, err := gapped.AvailableFromMs()
	if err != nil {
		return fmt.Errorf("read where it begins: %w", err)
	}
	f.fromMs.Store(ms)
	return nil
}

// WaitFor returns when the view has durably passed a durable group.
func (r *Runner) WaitFor(view View, seq uint64) error {
	f := r.of(view)
	timer := time.NewTimer(waitMax)
	defer timer.Stop()
	for {
		r.mu.Lock()
		moved := f.moved
		r.mu.Unlock()
		if f.passed.Load() >= seq {
			return nil
		}
		signal(f.kick)
		select {
		case <-moved:
		case <-timer.C:
			return ErrLags
		case <-r.stop:
			return ErrStopped
		}
	}
}

func (r *Runner) of(view View) *follower {
	for _, f := range r.followers {
		if f.view == view {
			return f
		}
	}
	panic("BUG: " + view.Name() + " is no view of this runner")
}

// Close stops following when every view has what is durable, has failed or rests, or after closeAppliesMax more calls
// of its Apply: the next start goes on from there. The views stay open.
func (r *Runner) Close() {
	close(r.stop)
	r.cancel()
	r.wg.Wait()
}

// stopped reports whether the runner is closed.
func (r *Runner) stopped() bool {
	select {
	case <-r.stop:
		return true
	default:
		return false
	}
}

// RegisterMetrics adds lag and state of each view to set.
func (r *Runner) RegisterMetrics(set *metric.Set, nowMs func() int64) {
	lag := set.Gauges("meterd_view_lag_seconds", "Age of the oldest group of the log that a view lacks.")
	failed := set.Gauges("meterd_view_failed", "Whether a view cannot follow the log, 1 or 0; it is tried again.")
	for _, f := range r.followers {
		lag.Func(func() float64 { return f.lag(nowMs()).Seconds() }, "view", f.view.Name())
		failed.Func(func() float64 {
			if f.failed.Load() {
				return 1
			}
			return 0
		}, "view", f.view.Name())
	}
}

// Status is how a view stands.
type Status struct {
	Name   string
	Lag    time.Duration // age of the oldest group of the log that it lacks
	Failed bool          // it cannot follow the log; it is tried again
	// AvailableFromMs is the instant before which the view lacks groups, Unix milliseconds; 0: it lacks none, or is not
	// Gapped.
	AvailableFromMs int64
}

// Status returns how each view stands.
func (r *Runner) Status(nowMs int64) []Status {
	list := make([]Status, len(r.followers))
	for i, f := range r.followers {
		list[i] = Status{f.view.Name(), f.lag(nowMs), f.failed.Load(), f.fromMs.Load()}
	}
	return list
}

// lag is the age of the oldest group that the view lacks, at most that of the last group that it has.
func (f *follower) lag(nowMs int64) time.Duration {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	passed := f.passed.Load()
	if passed >= f.r.last {
		return 0
	}
	ms := f.passedMs.Load()
	if n := len(f.r.tail); n > 0 && f.r.tail[0].Seq <= passed+1 {
		ms = f.r.tail[passed+1-f.r.tail[0].Seq].FirstMs
	}
	if ms == 0 {
		ms = f.r.lastMs
	}
	return time.Duration(max(0, nowMs-ms)) * time.Millisecond
}
