package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Cluster is what an event cost each process of a cluster, or a daemon alone. It is taken from before the load until
// all copies lacked nothing and no view worked any more, and so has what was put off. What an idle process uses is not
// in it.
type Cluster struct {
	Owners                  int        `json:"owners"` // nodes that own what is loaded; 0: a daemon alone
	Nodes                   []NodeCost `json:"nodes"`
	LoaderSecondsPerMillion float64    `json:"loader_seconds_per_million_events"`
	// LoopbackBytesPerEvent is of the loader's traffic, too, and of whatever else used the interface.
	LoopbackBytesPerEvent float64 `json:"loopback_bytes_per_event"`
	Cores                 float64 `json:"cores"` // that all processes and the loader used within the window
}

// NodeCost is what an event costs one process.
type NodeCost struct {
	IdleCores            float64 `json:"idle_cores"` // before the load
	SecondsPerMillion    float64 `json:"cpu_seconds_per_million_events"`
	WrittenBytesPerEvent float64 `json:"written_bytes_per_event"`
}

// clusterRow is the median of each figure of the rounds of one variant.
type clusterRow struct {
	variant                     string
	owners                      int
	rate, p50, p99              float64
	nodes                       []float64 // CPU microseconds an event
	loader, cores, idle         float64   // idle: of all processes
	loopback, written, perGroup float64
	others                      float64 // the largest share of other processes
}

// clusterRows returns a row for each variant, in the order of the first round.
func clusterRows(results []*Result) (rows []clusterRow) {
	var variants []string
	for _, x := range results {
		if x.Cluster != nil && !x.Against && !slices.Contains(variants, x.Variant) {
			variants = append(variants, x.Variant)
		}
	}
	for _, variant := range variants {
		same := slices.DeleteFunc(slices.Clone(results), func(x *Result) bool {
			return x.Cluster == nil || x.Against || x.Variant != variant
		})
		of := func(figure func(*Result) float64) float64 {
			var values []float64
			for _, x := range same {
				values = append(values, figure(x))
			}
			return median(values)
		}
		row := clusterRow{
			variant: variant, owners: same[0].Cluster.Owners,
			rate:   of(func(x *Result) float64 { return x.EventsPerSecond }),
			p50:    of(func(x *Result) float64 { return x.Latency.P50 }),
			p99:    of(func(x *Result) float64 { return x.Latency.P99 }),
			loader: of(func(x *Result) float64 { return x.Cluster.LoaderSecondsPerMillion }),
			cores:  of(func(x *Result) float64 { return x.Cluster.Cores }),
			idle: of(func(x *Result) (sum float64) {
				for _, n := range x.Cluster.Nodes {
					sum += n.IdleCores
				}
				return sum
			}),
			loopback: of(func(x *Result) float64 { return x.Cluster.LoopbackBytesPerEvent }),
			written: of(func(x *Result) (sum float64) {
				for _, n := range x.Cluster.Nodes {
					sum += n.WrittenBytesPerEvent
				}
				return sum
			}),
			perGroup: of(func(x *Result) float64 { return x.Disk.EventsPerGroup }),
		}
		for i := range same[0].Cluster.Nodes {
			row.nodes = append(row.nodes, of(func(x *Result) float64 { return x.Cluster.Nodes[i].SecondsPerMillion }))
		}
		for _, x := range same {
			row.others = max(row.others, x.CPU.OtherShare)
		}
		rows = append(rows, row)
	}
	return rows
}

// writeCluster writes what the scenario cluster measured, and the model beside it. It writes nothing without it.
func (r *Report) writeCluster(w io.Writer) error {
	rows := clusterRows(r.Results)
	if len(rows) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(cells ...string) { _, _ = fmt.Fprintln(t, strings.Join(cells, "\t")+"\t") } // Flush has its error.
	line(
		"cluster",
		"events/s",
		"÷ alone",
		"p50",
		"p99",
		"CPU ns/event: n1",
		"n2",
		"n3",
		"loader",
		"cores used",
		"idle",
		"others",
		"events/group",
		"loopback B/event",
		"written",
	)
	for _, x := range rows {
		cells := []string{x.variant, short(x.rate), fmt.Sprintf("%.3f", x.rate/rows[0].rate), span(x.p50), span(x.p99)}
		for i := range clusterNodes {
			cost := "-"
			if i < len(x.nodes) {
				cost = fmt.Sprintf("%.0f", 1e3*x.nodes[i])
			}
			cells = append(cells, cost)
		}
		line(append(cells, fmt.Sprintf("%.0f", 1e3*x.loader), fmt.Sprintf("%.2f", x.cores), fmt.Sprintf("%.2f", x.idle),
			fmt.Sprintf("%.0f %%", 100*x.others), short(x.perGroup), fmt.Sprintf("%.0f", x.loopback),
			fmt.Sprintf("%.0f", x.written))...)
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	for _, s := range clusterModel(rows, r.Machine.Cores) {
		if _, err := fmt.Fprintln(w, s); err != nil {
			return fmt.Errorf("write the model: %w", err)
		}
	}
	return nil
}

// clusterModel says what the figures mean for nodes on machines of their own, and what bounds them on this one. Times
// are microseconds of a processor an event.
func clusterModel(rows []clusterRow, cores int) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	one := slices.IndexFunc(rows, func(x clusterRow) bool { return x.variant == "1 owner" })
	if rows[0].variant != variantAlone || one < 0 {
		return nil
	}
	alone, owner := rows[0].nodes[0], rows[one].nodes[0]
	f := 0.0
	for _, x := range rows[one].nodes[1:] {
		f += x / float64(len(rows[one].nodes)-1)
	}
	say(
		"a = %.0f ns: an event at a daemon alone. d = %.0f ns: at the owner of all cells. f = %.0f ns: at a standby of all.",
		1e3*alone,
		1e3*owner,
		1e3*f,
	)
	say("Nodes on machines of their own, as far as processors bound them: the busiest of n nodes needs (d + (n-1) f) / n.")
	for _, x := range rows {
		if x.owners < 1 || x.variant != fmt.Sprintf("%d owner%s", x.owners, plural(x.owners)) {
			continue
		}
		n := float64(x.owners)
		model, busiest := (owner+(n-1)*f)/n, slices.Max(x.nodes)
		say(
			"  %s: busiest node %.0f ns by the model, %.0f ns measured: %.2f and %.2f times one daemon; %s/s a core",
			x.variant,
			1e3*model,
			1e3*busiest,
			alone/model,
			alone/busiest,
			short(1e6/busiest),
		)
	}
	say(
		"  every node keeps a copy of every cell, so more nodes lead to a/f = %.2f times one daemon, and not beyond",
		alone/f,
	)
	say("This machine: everything and the loader on %d cores; its bound is cores / (all nodes + loader).", cores)
	for _, x := range rows {
		sum := x.loader
		for _, n := range x.nodes {
			sum += n
		}
		bound := func(cores int) string { return short(float64(cores) / sum * 1e6) }
		say("  %s: %s/s measured with %.2f cores; %s/s if nothing waited; %s/s with one core more",
			x.variant, short(x.rate), x.cores, bound(cores), bound(cores+1))
	}
	return lines
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}
