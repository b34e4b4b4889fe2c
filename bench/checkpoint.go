package bench

import (
	"context"
	"time"
)

// noCheckpoint is longer than any window.
const noCheckpoint = 24 * time.Hour

// checkpoint measures what checkpoints cost: windows with at least two of them and windows with none take turns, each
// with a daemon just started on the same data, and each pair gives a ratio.
func checkpoint(ctx context.Context, r *run) error {
	c := r.o.cases()[0]
	with := min(r.o.CheckpointEvery, c.Duration/2)
	every := []time.Duration{with, noCheckpoint}
	return r.compare(ctx, c, comparison{
		scenario: "checkpoint", ratio: "with checkpoints ÷ without", rounds: r.o.Rounds,
		sides: len(every), set: func(d *daemon, side int) { d.checkpointEvery = every[side] },
		name: func(side int) string {
			if every[side] == noCheckpoint {
				return "without"
			}
			return "every " + every[side].String()
		},
		judge: func(side int, result *Result) {
			if every[side] != noCheckpoint && result.Disk.Checkpoints == 0 {
				result.Notes = append(result.Notes, "no checkpoint ended within the window: the ratio says nothing")
			}
		},
	})
}

// comparison is a case measured with a daemon run in different ways, by turns.
type comparison struct {
	scenario string
	ratio    string // what the first side divided by the last one is
	rounds   int
	sides    int
	set      func(d *daemon, side int)
	name     func(side int) string
	judge    func(side int, result *Result) // adds what must be known of a window, if there is anything
}

// compare measures a comparison, adds a result for each window, and the ratio.
func (r *run) compare(ctx context.Context, c Case, x comparison) error {
	t := r.target
	if t.daemon == nil {
		return errNotOurs
	}
	if err := activate(ctx, r); err != nil {
		return err
	}
	asBefore := *t.daemon
	var pairs [][2]*Result
	for round := range x.rounds {
		results := make([]*Result, x.sides)
		for turn := range x.sides {
			side := turn
			if round%2 == 1 {
				side = x.sides - 1 - turn // So that what drifts favours neither.
			}
			if err := t.again(ctx, func(d *daemon) { x.set(d, side) }); err != nil {
				return err
			}
			result, err := r.measure(ctx, x.scenario, t.main, c)
			if err != nil {
				return err
			}
			result.Variant = x.name(side)
			if x.judge != nil {
				x.judge(side, result)
			}
			results[side] = result
			r.add(result)
		}
		pairs = append(pairs, [2]*Result{results[0], results[x.sides-1]})
	}
	r.addRatio(newRatio(x.scenario+": "+x.ratio, pairs...))
	return t.again(ctx, func(d *daemon) { d.checkpointEvery, d.cores = asBefore.checkpointEvery, asBefore.cores })
}
