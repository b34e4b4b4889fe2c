package bench

import (
	"fmt"
	"slices"
)

// Ratio is one figure divided by another that was taken beside it, which is what holds on another machine.
type Ratio struct {
	Name       string    `json:"name"`
	Median     float64   `json:"median"`
	Rounds     []float64 `json:"rounds"`      // as they were taken
	OtherShare float64   `json:"other_share"` // the most that others used of the machine in any of its windows
}

// newRatio returns the ratio of the pairs of windows of each round.
func newRatio(name string, pairs ...[2]*Result) Ratio {
	r := Ratio{Name: name}
	for _, p := range pairs {
		r.Rounds = append(r.Rounds, p[0].EventsPerSecond/p[1].EventsPerSecond)
		for _, x := range p {
			if x.CPU != nil {
				r.OtherShare = max(r.OtherShare, x.CPU.OtherShare)
			}
		}
	}
	sorted := slices.Sorted(slices.Values(r.Rounds))
	n := len(sorted)
	r.Median = (sorted[n/2] + sorted[(n-1)/2]) / 2
	return r
}

// String says a ratio, how far its rounds lie apart, and whether the machine was quiet.
func (r Ratio) String() string {
	s := fmt.Sprintf("%s: %.3g", r.Name, r.Median)
	if len(r.Rounds) > 1 {
		s += fmt.Sprintf(" (%.3g to %.3g in %d rounds)", slices.Min(r.Rounds), slices.Max(r.Rounds), len(r.Rounds))
	}
	if r.OtherShare > otherShareQuiet {
		s += fmt.Sprintf("; others used up to %.0f %% of the machine", 100*r.OtherShare)
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
		ratios = append(ratios, newRatio(name, [2]*Result{a, b}))
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
