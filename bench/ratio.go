package bench

import (
	"fmt"
	"slices"
)

// Ratio is a figure of one side divided by the same figure of another side in the same run. Unlike the figures, a ratio
// holds on other machines too.
type Ratio struct {
	Name       string     `json:"name"`
	Unit       string     `json:"unit"` // of the figures: events/s, seconds or bytes
	Median     float64    `json:"median"`
	Sides      [2]float64 `json:"sides"`       // the median of each side's figures
	Rounds     []float64  `json:"rounds"`      // the ratio of each round, as they were measured
	OtherShare float64    `json:"other_share"` // the largest share of the machine that other processes used in a window
}

// figure is a number that two results are compared by.
type figure struct {
	name string
	unit string
	of   func(*Result) float64 // 0: the result has none
}

const (
	unitRate    = "events/s"
	unitSeconds = "seconds"
	unitBytes   = "bytes"
)

//nolint:gochecknoglobals // It is a row of the tables below and of others.
var rate = figure{"events/s", unitRate, func(x *Result) float64 { return x.EventsPerSecond }}

// sideFigures are the figures by which two daemons are compared.
var sideFigures = []figure{
	rate,
	{"p99", unitSeconds, func(x *Result) float64 { return orZero(x.Latency).P99 }},
	{"daemon's CPU an event", unitSeconds, func(x *Result) float64 { return orZero(x.CPU).DaemonSecondsPerMillion / 1e6 }},
	{"resident memory", unitBytes, func(x *Result) float64 { return float64(orZero(x.Memory).RSSBytes) }},
	{"log an event", unitBytes, func(x *Result) float64 { return orZero(x.Disk).LogBytesPerEvent }},
	{"ready", unitSeconds, func(x *Result) float64 { return orZero(x.Restart).ReadySeconds }},
}

func orZero[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// pair is two results of one round.
type pair struct {
	name string // pairs of the same name are rounds of one ratio
	figure
	a, b *Result
}

// ratiosOf returns a ratio for each name.
func ratiosOf(pairs []pair) (ratios []Ratio) {
	for len(pairs) > 0 {
		var same, rest []pair
		for _, p := range pairs {
			switch {
			case p.of(p.b) == 0: // The result has no such figure.
			case len(same) == 0 || p.name == same[0].name:
				same = append(same, p)
			default:
				rest = append(rest, p)
			}
		}
		if len(same) > 0 {
			ratios = append(ratios, newRatio(same))
		}
		pairs = rest
	}
	return ratios
}

// newRatio returns the ratio of the pairs of its rounds.
func newRatio(rounds []pair) Ratio {
	r := Ratio{Name: rounds[0].name, Unit: rounds[0].unit}
	var sides [2][]float64
	for _, p := range rounds {
		a, b := p.of(p.a), p.of(p.b)
		sides[0], sides[1], r.Rounds = append(sides[0], a), append(sides[1], b), append(r.Rounds, a/b)
		for _, x := range []*Result{p.a, p.b} {
			if x.CPU != nil {
				r.OtherShare = max(r.OtherShare, x.CPU.OtherShare)
			}
		}
	}
	r.Median, r.Sides = median(r.Rounds), [2]float64{median(sides[0]), median(sides[1])}
	return r
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[n/2] + sorted[(n-1)/2]) / 2
}

// String returns the ratio, both figures, the range of its rounds, and whether other processes disturbed it.
func (r Ratio) String() string {
	text := map[string]func(float64) string{
		unitRate:    func(v float64) string { return short(v) + "/s" },
		unitSeconds: span,
		unitBytes:   func(v float64) string { return short(v) + "B" },
	}[r.Unit]
	s := fmt.Sprintf("%s: %.3g (%s, %s", r.Name, r.Median, text(r.Sides[0]), text(r.Sides[1]))
	if len(r.Rounds) > 1 {
		s += fmt.Sprintf("; %.3g to %.3g in %d rounds", slices.Min(r.Rounds), slices.Max(r.Rounds), len(r.Rounds))
	}
	s += ")"
	if r.OtherShare > otherShareQuiet {
		s += fmt.Sprintf("; others used up to %.0f %% of the machine", 100*r.OtherShare)
	}
	return s
}

// sidePairs pairs the results of two daemons in one round, figure by figure.
func sidePairs(ours, theirs []*Result) (pairs []pair) {
	for _, a := range ours {
		i := slices.IndexFunc(theirs, func(b *Result) bool { return a.label() == b.label() && a.Devices == b.Devices })
		if i < 0 {
			continue
		}
		for _, f := range sideFigures {
			pairs = append(pairs, pair{a.label() + " ÷ against, " + f.name, f, a, theirs[i]})
		}
	}
	return pairs
}

// peerPairs pairs the results of meterd, or of both daemons, with those of the yardsticks in the same run.
func peerPairs(results []*Result) (pairs []pair) {
	compare := func(mine string, ours Case, scenario, variant string, theirs Case) {
		for _, against := range []bool{false, true} {
			b := find(results, false, scenario, variant, theirs)
			a := find(results, against, mine, "", ours)
			if len(b) > 0 {
				a = slices.DeleteFunc(a, func(x *Result) bool { return x.Devices != b[0].Devices })
			}
			for i := range min(len(a), len(b)) {
				pairs = append(pairs, pair{"meterd " + a[i].name() + " ÷ " + b[i].name(), rate, a[i], b[i]})
			}
		}
	}
	divide := func(ours Case, scenario, variant string, theirs Case) {
		compare("steady", ours, scenario, variant, theirs)
	}
	streamPairs(compare)
	resp := func(batch, connections int) Case {
		return Case{Format: "resp", Batch: batch, Connections: connections}
	}
	for _, format := range formats {
		headline := Case{Format: format, Batch: headlineBatch, Connections: headlineConnections}
		for _, mode := range redisModes {
			divide(headline, "redis", mode.name, resp(redisDepth, headlineConnections))
		}
		imported := headline
		imported.Format = "prometheus"
		divide(headline, "victoria", "", imported)
	}
	for _, format := range formats {
		for _, connections := range singleConnections {
			for _, mode := range redisModes {
				divide(Case{Format: format, Batch: 1, Connections: connections}, "redis", mode.name, resp(1, connections))
			}
		}
	}
	return pairs
}

// find returns the windows of a case, in the order they were measured.
func find(results []*Result, against bool, scenario, variant string, c Case) (list []*Result) {
	for _, x := range results {
		if x.Against == against && x.Scenario == scenario && x.Variant == variant && x.Case != nil &&
			x.Case.String() == c.String() {
			list = append(list, x)
		}
	}
	return list
}
