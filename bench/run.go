package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// run is one run of scenarios against one target.
type run struct {
	o      *Options
	target *target
	report *Report
}

// Run starts the daemon, or finds it, runs the scenarios and returns the report, with what was measured before an error if there was
// one. The daemon is stopped and its data removed, except after an error: then they are evidence. It ends when ctx does.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	scenarios, err := scenariosNamed(o.Scenarios)
	if err != nil {
		return nil, err
	}
	r := &run{o: &o}
	if r.target, err = openTarget(ctx, &o); err != nil {
		return nil, err
	}
	machine, err := readMachine(r.target.folder)
	if err != nil {
		return nil, errors.Join(err, r.target.close(o.Keep))
	}
	r.report = newReport(readCommit(ctx), machine, &o)
	r.say("%s, %d cores, Linux %s, %s; commit %s; seed %d", machine.CPU, machine.Cores, machine.Kernel, machine.Filesystem, r.report.Commit, o.Seed)
	if r.target.daemon != nil {
		r.say("daemon: process %d, %s", r.target.daemon.pid(), r.target.folder)
	}
	for _, s := range scenarios {
		if err = s.run(ctx, r); err != nil {
			err = fmt.Errorf("%s: %w", s.Name, err)
			break
		}
	}
	if err != nil && r.target.folder != "" {
		r.say("data and log are kept in %s", r.target.folder)
	}
	return r.report, errors.Join(err, r.target.close(o.Keep || err != nil))
}

func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.o.Progress, format+"\n", args...) // What nobody can read is not worth ending for.
}

// add adds a result and shows it.
func (r *run) add(result *Result) {
	r.report.Results = append(r.report.Results, result)
	r.say("%s", result.line())
}

// load runs callers with these sources under a probe.
func (r *run) load(ctx context.Context, what string, sources []source, warmup, duration time.Duration) (*outcome, *probe, []*caller, error) {
	t := r.target
	callers, err := dialCallers(ctx, t.admin.address, t.token, sources)
	if err != nil {
		return nil, nil, nil, err
	}
	p := &probe{target: t}
	var shownAt time.Duration
	var shown uint64
	l := &load{
		callers: callers, warmup: warmup, duration: duration, begin: p.begin, end: p.end, watch: p.watch,
		progress: func(elapsed time.Duration, events uint64) {
			rate := float64(events-shown) / (elapsed - shownAt).Seconds()
			r.say("  %s: %3.0f s, %s events, %s/s", what, elapsed.Seconds(), short(float64(events)), short(rate))
			shownAt, shown = elapsed, events
		},
	}
	o, err := l.run(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	t.sent += o.answered
	return o, p, callers, nil
}

// result makes the result of a load that was verified.
func (o *outcome) result(scenario string, c *Case, p *probe, check *Check) *Result {
	r := &Result{
		Scenario: scenario, Case: c, Events: o.events, Batches: o.batches, WindowSeconds: o.window.Seconds(),
		EventsPerSecond: float64(o.events) / o.window.Seconds(), EventsOfEachSecond: o.perSecond, Check: check,
		Latency: &Latency{
			P50: o.latency.quantile(0.5).Seconds(), P99: o.latency.quantile(0.99).Seconds(), P999: o.latency.quantile(0.999).Seconds(),
			Max: time.Duration(o.latency.maxNs).Seconds(), Mean: o.latency.mean().Seconds(),
		},
	}
	p.fill(r, p.to.metrics.minus(p.from.metrics))
	if r.CPU.OtherShare > otherShareQuiet {
		r.Notes = append(r.Notes, fmt.Sprintf("others used %.0f %% of the machine meanwhile", 100*r.CPU.OtherShare))
	}
	return r
}
