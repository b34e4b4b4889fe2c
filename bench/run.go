package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// run is one run of scenarios.
type run struct {
	o      *Options // of the step that runs
	target *target
	report *Report
	pairs  []pair // the ratios are made of these

	against bool // the other daemon is measured
	round   int  // from 1 on, if two daemons are compared
}

// Run starts the daemon, or connects to a running one, runs the scenarios and returns the report. After an error the
// report has what was measured before it. Run stops the daemon and removes its data; after an error it keeps the data
// as evidence. It ends when ctx does.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	dir := ""
	if o.URL == "" {
		var err error
		if dir, err = realDirectory(o.Dir); err != nil {
			return nil, err
		}
	}
	machine, err := readMachine(dir)
	if err != nil {
		return nil, err
	}
	r := &run{o: &o, report: newReport(machine, &o)}
	r.report.Commit = readCommit(ctx, o.Program)
	r.say("%s, %d cores, Linux %s, %s; commit %s; seed %d",
		machine.CPU, machine.Cores, machine.Kernel, machine.Filesystem, r.report.Commit, o.Seed)
	if o.Against != "" {
		r.report.AgainstCommit = commitOf(o.Against)
		r.say("against: %s, commit %s", o.Against, r.report.AgainstCommit)
	}
	err = r.all(ctx)
	r.report.Ratios = ratiosOf(append(r.pairs, peerPairs(r.report.Results)...))
	return r.report, err
}

// all runs all parts: once, or, if two daemons are compared, in rounds with each.
func (r *run) all(ctx context.Context) error {
	o := r.o
	if o.Against == "" {
		for _, p := range o.parts() {
			if err := r.part(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
	for r.round = 1; r.round <= o.Rounds; r.round++ {
		for _, p := range o.parts() {
			if err := r.bothDaemons(ctx, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// bothDaemons runs a part with each of two daemons. A yardstick is measured once for both.
func (r *run) bothDaemons(ctx context.Context, p part) error {
	var results [2][]*Result
	err := alternate(r.round-1, len(results), func(side int) error {
		p := p
		if r.against = side == 1; r.against {
			if p.steps[0].scenario.peer {
				return nil
			}
			p.options.Program = p.options.Against
		}
		from := len(r.report.Results)
		err := r.part(ctx, p)
		results[side] = r.report.Results[from:]
		return err
	})
	r.compared(sidePairs(results[0], results[1]))
	return err
}

// compared keeps pairs for the report, and shows their ratios.
func (r *run) compared(pairs []pair) {
	r.pairs = append(r.pairs, pairs...)
	for _, ratio := range ratiosOf(pairs) {
		r.say("%s", ratio)
	}
}

// part runs scenarios with one daemon.
func (r *run) part(ctx context.Context, p part) error {
	var err error
	if r.target, err = openTarget(ctx, &p.options); err != nil {
		return err
	}
	if r.target.daemon != nil {
		r.say("daemon: %s, process %d, %s", p.options.Program, r.target.daemon.pid(), r.target.folder)
	}
	for i := range p.steps {
		s := &p.steps[i]
		r.o = &s.options
		if err = s.scenario.run(ctx, r); s.optional && (errors.Is(err, errNotInstalled) || errors.Is(err, errNotOurs)) {
			r.say("%s is left out: %v", s.scenario.Name, err)
			err = nil
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", s.scenario.Name, err)
			break
		}
	}
	if err != nil && r.target.folder != "" {
		r.say("data and log are kept in %s", r.target.folder)
	}
	return errors.Join(err, r.target.close(r.o.Keep || err != nil))
}

func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.o.Progress, format+"\n", args...) // A closed terminal does not end a run.
}

// add adds a result and shows it.
func (r *run) add(result *Result) {
	result.Devices, result.Against, result.Round = r.o.Devices, r.against, r.round
	r.report.Results = append(r.report.Results, result)
	r.say("%s", result.line())
}

// job is a load.
type job struct {
	what      string // for people
	c         Case
	fleet     *fleet // nil for a yardstick
	sources   []source
	producers int    // the number of the first connection's producer
	deny      string // the code with which all must be denied; empty: all must be accepted
	warmup    time.Duration
	duration  time.Duration // 0: until the sources end
	split     time.Time     // see outcome.split; zero: none
}

// load runs a job against the daemon.
func (r *run) load(ctx context.Context, j *job) (*outcome, *probe, error) {
	t := r.target
	gateways, err := t.dial(ctx, j)
	if err != nil {
		return nil, nil, err
	}
	sessions := make([]session, len(gateways))
	for i, g := range gateways {
		sessions[i] = g
	}
	p := t.probe()
	<-time.After(stageGap - time.Since(t.quiet))
	j.fleet.begin(t.quiet, j.deny)
	o, err := r.drive(ctx, j, sessions, p)
	t.quiet = time.Now()
	for i, g := range gateways {
		t.sequences[t.producer(j.producers+i)] = g.last()
	}
	if err != nil {
		return nil, nil, err
	}
	if j.deny == "" {
		t.accepted += o.answered
	} else {
		t.denied += o.answered
	}
	return o, p, nil
}

// drive runs a load over sessions, and shows its progress.
func (r *run) drive(ctx context.Context, j *job, sessions []session, p *probe) (*outcome, error) {
	var shownAt time.Duration
	var shown uint64
	l := &load{
		warmup: j.warmup, duration: j.duration, split: j.split, rate: j.c.Rate, begin: p.begin, end: p.end, watch: p.watch,
		progress: func(elapsed time.Duration, events uint64) {
			rate := float64(events-shown) / (elapsed - shownAt).Seconds()
			r.say("  %s: %3.0f s, %s events, %s/s", j.what, elapsed.Seconds(), short(float64(events)), short(rate))
			shownAt, shown = elapsed, events
		},
	}
	for _, s := range sessions {
		c := &caller{session: s, load: l}
		c.many, _ = s.(pipelined)
		l.callers = append(l.callers, c)
	}
	return l.run(ctx)
}

// result makes the result of a load that was verified.
func (o *outcome) result(scenario string, c *Case, p *probe, check *Check) *Result {
	r := &Result{
		Scenario: scenario, Case: c, Events: o.events, Batches: o.batches, WindowSeconds: o.window.Seconds(),
		EventsPerSecond: float64(o.events) / o.window.Seconds(), EventsOfEachSecond: o.perSecond, Check: check,
		StallSeconds: o.stall().Seconds(),
		Latency:      latencyOf(o.latency),
	}
	p.fill(r, p.to.metrics.minus(p.from.metrics))
	if r.CPU.OtherShare > otherShareQuiet {
		r.Notes = append(r.Notes, fmt.Sprintf("others used %.0f %% of the machine meanwhile", 100*r.CPU.OtherShare))
	}
	return r
}
