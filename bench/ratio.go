package bench

import (
	"fmt"
	"slices"
)

// Ratio is one figure divided by another that was taken beside it, which is what holds on another machine.
type Ratio struct {
	Name   string    `json:"name"`
	Median float64   `json:"median"`
	Rounds []float64 `json:"rounds"` // as they were taken
}

func newRatio(name string, rounds []float64) Ratio {
	sorted := slices.Sorted(slices.Values(rounds))
	n := len(sorted)
	return Ratio{Name: name, Median: (sorted[n/2] + sorted[(n-1)/2]) / 2, Rounds: rounds}
}

// String says a ratio, and how far its rounds lie apart.
func (r Ratio) String() string {
	s := fmt.Sprintf("%s: %.3g", r.Name, r.Median)
	if len(r.Rounds) > 1 {
		s += fmt.Sprintf(" (%.3g to %.3g in %d rounds)", slices.Min(r.Rounds), slices.Max(r.Rounds), len(r.Rounds))
	}
	return s
}

// peerRatios compares what was measured of meterd with the yardsticks that were measured in the same run.
func peerRatios(results []*Result) (ratios []Ratio) {
	// The first window that fits: suites begin with the longest one.
	find := func(scenario, variant string, c Case) *Result {
		for _, x := range results {
			if x.Scenario == scenario && x.Variant == variant && x.Case != nil && x.Case.String() == c.String() {
				return x
			}
		}
		return nil
	}
	headline := func(format string) Case {
		return Case{Format: format, Batch: headlineBatch, Connections: headlineConnections}
	}
	resp := func(batch, connections int) Case {
		return Case{Format: "resp", Batch: batch, Connections: connections}
	}
	divide := func(ours Case, scenario, variant string, theirs Case) {
		a, b := find("steady", "", ours), find(scenario, variant, theirs)
		if a == nil || b == nil || a.Devices != b.Devices {
			return
		}
		name := fmt.Sprintf("meterd %s ÷ %s %s", ours, scenario, theirs)
		if variant != "" {
			name += ", " + variant
		}
		ratios = append(ratios, newRatio(name, []float64{a.EventsPerSecond / b.EventsPerSecond}))
	}
	for _, format := range formats {
		for _, mode := range redisModes {
			divide(headline(format), "redis", mode.name, resp(redisDepth, headlineConnections))
		}
		divide(headline(format), "victoria", "", headline("prometheus"))
	}
	for _, format := range formats {
		for _, connections := range singleConnections {
			for _, mode := range redisModes {
				divide(Case{Format: format, Batch: 1, Connections: connections}, "redis", mode.name, resp(1, connections))
			}
		}
	}
	return ratios
}
