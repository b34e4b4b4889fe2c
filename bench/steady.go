package bench

import (
	"context"
	"fmt"
)

// steady sends messages up and down of drawn devices, all active and online, case after case.
func steady(ctx context.Context, r *run) error {
	if err := activate(ctx, r); err != nil {
		return err
	}
	for _, c := range r.o.cases() {
		result, err := r.measure(ctx, r.target.main, c, &job{what: "steady"})
		if err != nil {
			return err
		}
		if result.Disk.Checkpoints == 0 && c.Duration >= checkpointWindow {
			result.Notes = append(result.Notes, "no checkpoint fell into the window: not a headline")
		}
		r.add(result)
	}
	return nil
}

// measure runs one case of a job and verifies it.
func (r *run) measure(ctx context.Context, f *fleet, c Case, j *job) (*Result, error) {
	scenario := j.what
	o, p, err := r.traffic(ctx, f, c, j)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	check, err := r.target.verify(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c, err)
	}
	return o.result(scenario, &c, p, check), nil
}

// traffic sends drawn messages to the devices of a fleet, and counts the messages of each device. The caller verifies
// them.
func (r *run) traffic(ctx context.Context, f *fleet, c Case, j *job) (*outcome, *probe, error) {
	var begins []drawn
	j.sources, begins = r.target.sources(f.devices, c, f.encoder(c))
	j.what, j.c, j.fleet, j.warmup, j.duration = fmt.Sprintf("%s %s", j.what, c), c, f, r.o.Warmup, c.Duration
	o, p, err := r.load(ctx, j)
	if err != nil {
		return nil, nil, err
	}
	for i, n := range o.each {
		f.stage.tally.add(begins[i], n)
	}
	f.settle()
	return o, p, nil
}
