package bench

import (
	"context"
	"time"
)

// noCheckpoint is longer than any window.
const noCheckpoint = 24 * time.Hour

// checkpoint measures what checkpoints cost: windows with at least two of them and windows with none alternate. Each
// has a daemon just started on the same data, and each pair gives a ratio.
func checkpoint(ctx context.Context, r *run) error {
	c := r.o.cases()[0]
	with := min(r.o.CheckpointEvery, c.Duration/2)
	every := []time.Duration{with, noCheckpoint}
	rounds := r.o.Rounds
	if r.round > 0 {
		rounds = 1 // The whole scenario is repeated in rounds already.
	}
	return r.compare(ctx, c, comparison{
		scenario: "checkpoint", ratio: "with checkpoints ÷ without", rounds: rounds,
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

// comparison is a case that is measured with a daemon run in different ways, its sides, which alternate.
type comparison struct {
	scenario string
	ratio    string // names the first side divided by the last one
	rounds   int
	sides    int
	set      func(d *daemon, side int)
	name     func(side int) string
	judge    func(side int, result *Result) // adds notes to the result of a window
}

// compare measures a comparison. It adds a result for each window, and the ratio.
func (r *run) compare(ctx context.Context, c Case, x comparison) error {
	t := r.target
	if t.daemon == nil {
		return errNotOurs
	}
	if err := activate(ctx, r); err != nil {
		return err
	}
	asBefore := *t.daemon
	results := make([]*Result, x.sides)
	var pairs []pair
	for round := range x.rounds {
		err := alternate(round, x.sides, func(side int) error {
			if err := t.again(ctx, func(d *daemon) { x.set(d, side) }); err != nil {
				return err
			}
			result, err := r.measure(ctx, t.main, c, &job{what: x.scenario})
			if err != nil {
				return err
			}
			result.Variant = x.name(side)
			if x.judge != nil {
				x.judge(side, result)
			}
			results[side] = result
			r.add(result)
			return nil
		})
		if err != nil {
			return err
		}
		first, last := results[0], results[x.sides-1]
		pairs = append(pairs, pair{first.mark(x.scenario + ": " + x.ratio), rate, first, last})
	}
	r.compared(pairs)
	return t.again(ctx, func(d *daemon) { d.checkpointEvery, d.cores = asBefore.checkpointEvery, asBefore.cores })
}

// alternate measures each side once. Every second round has the opposite order, so that drift favours no side.
func alternate(round, sides int, measure func(side int) error) error {
	for turn := range sides {
		side := turn
		if round%2 == 1 {
			side = sides - 1 - turn
		}
		if err := measure(side); err != nil {
			return err
		}
	}
	return nil
}
