package bench

import (
	"context"
	"fmt"
)

// steady sends messages up and down, uniform over devices that are active and online, case after case.
func steady(ctx context.Context, r *run) error {
	if err := activate(ctx, r); err != nil {
		return err
	}
	for _, c := range r.o.cases() {
		o, p, err := r.traffic(ctx, "steady", c)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		check, err := r.target.verify(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		result := o.result("steady", &c, p, check)
		if result.Disk.Checkpoints == 0 && c.Duration >= checkpointWindow {
			result.Notes = append(result.Notes, "no checkpoint fell into the window: not a headline")
		}
		r.add(result)
	}
	return nil
}

// traffic runs one case and notes what each device was sent; the caller verifies it.
func (r *run) traffic(ctx context.Context, scenario string, c Case) (*outcome, *probe, error) {
	sources, drawn := r.target.sources(c)
	o, p, callers, err := r.load(ctx, fmt.Sprintf("%s %s", scenario, c), sources, r.o.Warmup, c.Duration)
	if err != nil {
		return nil, nil, err
	}
	for i, caller := range callers {
		r.target.tally.add(drawn[i], caller.answered.Load())
	}
	return o, p, nil
}

// String names a case in tables and progress.
func (c Case) String() string {
	s := fmt.Sprintf("ndjson batch=%d conns=%d", c.Batch, c.Connections)
	if c.Payload > 0 {
		s += fmt.Sprintf(" payload=%d", c.Payload)
	}
	return s
}
