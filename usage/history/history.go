package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meterd/meterd/metric"
)

// Options is what a History is made of.
type Options struct {
	Source Source
	// NowMs is the time by which meterd decides, Unix milliseconds (R12).
	NowMs func() int64
	Room  Room
	// Retention is how long samples are kept: as long as the ledger keeps its rows, but three days at least.
	Retention time.Duration
	// URL is the VictoriaMetrics of the operator; "": children keep the history.
	URL string
	// Directory is where the children keep their files, made if it is missing; Starter starts them.
	Directory string
	Starter   Starter
	Logger    *slog.Logger
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("history: "+what))
		}
	}
	need(o.Source != nil && o.NowMs != nil && o.Logger != nil, "Source, NowMs and Logger are needed")
	need(o.Room.Short != nil && o.Room.Full != nil, "Room is needed")
	if o.URL != "" {
		if err := ValidURL(o.URL); err != nil {
			errs = append(errs, fmt.Errorf("history: URL: %w", err))
		}
	} else {
		need(o.Directory != "" && o.Starter != nil, "Directory and Starter are needed")
	}
	return errors.Join(errs...)
}

// History samples and answers. Its exported methods are safe for concurrent use.
type History struct {
	o           Options
	tiers       []*tier // from the one that reaches back least
	supervisors []*supervisor
	files       *files // nil with a URL
	cancel      context.CancelFunc
	wg          sync.WaitGroup

	places  chan struct{}
	waiting atomic.Int64

	answered, unanswered atomic.Uint64
	startedMs            int64
}

// Open starts the children and the writer. It waits for neither.
func Open(o Options) (*History, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Retention = max(o.Retention, fineFor+fineKeptMore)
	h := &History{o: o, places: make(chan struct{}, queriesMax), startedMs: o.NowMs()}
	if o.URL == "" {
		var err error
		if h.files, err = openFiles(o.Directory); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.cancel = cancel
	if o.URL != "" {
		h.tiers = []*tier{{
			store: operatorVM(o.URL), name: "url", keeps: o.Retention, answers: o.Retention, run: func() uint64 { return 0 },
		}}
	} else {
		h.supervise(ctx, "fine", fineFor, fineFor+fineKeptMore, time.Millisecond)
		h.supervise(ctx, "thin", o.Retention, o.Retention, refreshEvery)
	}
	for _, t := range h.tiers {
		t.complained = map[string]time.Time{}
		h.wg.Go(func() { h.run(ctx, t) })
	}
	return h, nil
}

// supervise has a child keep a store: its samples answer queries that reach back so far, and are kept so long; of those
// within each resolution the last one is kept.
func (h *History) supervise(ctx context.Context, name string, answers, keeps, resolution time.Duration) {
	socket := name + ".sock"
	vm := childVM(h.files.socket(socket))
	o := ChildOptions{
		Name: name, Directory: h.o.Directory, Path: name, Socket: socket, Retention: keeps, Resolution: resolution,
		StaleAfter: staleAfter, CacheBytes: cacheBytes,
	}
	s := &supervisor{
		name: name, healthy: vm.healthy, full: h.o.Room.Full, logger: h.o.Logger,
		start: func() (Process, error) { return h.o.Starter.Start(o) },
		aside: func() error { return h.files.aside(name) },
	}
	h.supervisors = append(h.supervisors, s)
	h.tiers = append(h.tiers, &tier{store: vm, name: name, keeps: keeps, answers: answers, run: s.runs.Load})
	h.wg.Go(func() { s.run(ctx) })
}

// Close ends the writer and the children, within bounds.
func (h *History) Close() error {
	h.cancel()
	h.wg.Wait()
	if h.files != nil {
		return h.files.close()
	}
	return nil
}

// lag returns how long ago the last sample was taken that a store has; before the first one, since when it lacks one.
func (h *History) lag(t *tier) time.Duration {
	last := t.writtenMs.Load()
	if last == 0 {
		last = h.startedMs
	}
	return time.Duration(max(0, h.o.NowMs()-last)) * time.Millisecond
}

// Status says how the history stands, a line a store, for people.
func (h *History) Status() (lines []string) {
	for i, t := range h.tiers {
		state := "takes samples"
		switch {
		case h.o.Room.Short():
			state = "rests: the disk runs short of space"
		case i < len(h.supervisors) && !h.supervisors[i].up.Load():
			state = "DOWN, the log says why; it is started again"
		case h.lag(t) > lagMax:
			state = "LAGS, the log says why"
		}
		filled := "from nothing yet"
		if n := t.filledTo.Load(); n > 0 {
			filled = "to " + time.UnixMilli(quarterMs(n)).UTC().Format(time.RFC3339)
		}
		lines = append(lines, fmt.Sprintf("history %s: %s, %.1f s behind, filled from the ledger %s",
			t.name, state, h.lag(t).Seconds(), filled))
	}
	return lines
}

// RegisterMetrics adds the history's metrics to set.
func (h *History) RegisterMetrics(set *metric.Set) {
	lags := set.Gauges(
		"meterd_history_lag_seconds",
		"How long ago the last sample was taken that a store of the usage history has.",
	)
	queries := set.Counters("meterd_history_queries_total", "Queries of the usage history, by whether they were answered.")
	queries.Func(func() float64 { return float64(h.answered.Load()) }, "outcome", "answered")
	queries.Func(func() float64 { return float64(h.unanswered.Load()) }, "outcome", "failed")
	samples := set.Counters("meterd_history_samples_total", "Samples that were sent to the stores of the usage history.")
	filled := set.Gauges("meterd_history_filled_seconds",
		"Until when a store of the usage history is filled from the ledger, in seconds since 1970.")
	for _, t := range h.tiers {
		lags.Func(func() float64 { return h.lag(t).Seconds() }, "store", t.name)
		samples.Func(func() float64 { return float64(t.samples.Load()) }, "store", t.name)
		filled.Func(func() float64 { return float64(quarterMs(t.filledTo.Load())) / 1000 }, "store", t.name)
	}
	if len(h.supervisors) == 0 {
		return
	}
	up := set.Gauges("meterd_history_up", "Whether the child that keeps a store of the usage history answers, 1 or 0.")
	restarts := set.Counters("meterd_history_restarts_total", "How often a child of the usage history ended by itself.")
	asides := set.Counters("meterd_history_asides_total",
		"How often files of the usage history were taken for damaged and moved aside.")
	pids := set.Gauges("meterd_history_pid", "The process that keeps a store of the usage history, 0 without one.")
	for _, s := range h.supervisors {
		up.Func(func() float64 {
			if s.up.Load() {
				return 1
			}
			return 0
		}, "store", s.name)
		restarts.Func(func() float64 { return float64(s.restarts.Load()) }, "store", s.name)
		asides.Func(func() float64 { return float64(s.asides.Load()) }, "store", s.name)
		pids.Func(func() float64 { return float64(s.pid.Load()) }, "store", s.name)
	}
}
