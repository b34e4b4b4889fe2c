package metric_test

import (
	"strings"
	"testing"

	"github.com/meterd/meterd/metric"
	"github.com/meterd/meterd/metric/metrictest"
)

func TestText(t *testing.T) {
	s := metric.NewSet()
	events := s.Counters("meterd_events_total", "Events that were decided.")
	events.Func(func() float64 { return 7 }, "type", "up", "verdict", `a "b"`)
	events.Of("type", "down").Add(3)
	events.Of("type", "down").Inc()
	s.Counters("meterd_nothing_total", "What never happened yet.")
	s.Gauges("meterd_devices", "Devices that are known.").Func(func() float64 { return 2.5 })
	h := s.Histogram("meterd_commit_duration_seconds", "How long a commit took.", []float64{0.5, 1})
	h.Update(0.7)
	h.Update(3)
	text := s.Text()
	metrictest.Lint(t, text)
	const want = `# HELP meterd_commit_duration_seconds How long a commit took.
# TYPE meterd_commit_duration_seconds histogram
meterd_commit_duration_seconds_bucket{le="0.5"} 0
meterd_commit_duration_seconds_bucket{le="1"} 1
meterd_commit_duration_seconds_bucket{le="+Inf"} 2
meterd_commit_duration_seconds_sum 3.7
meterd_commit_duration_seconds_count 2
# HELP meterd_devices Devices that are known.
# TYPE meterd_devices gauge
meterd_devices 2.5
# HELP meterd_events_total Events that were decided.
# TYPE meterd_events_total counter
meterd_events_total{type="down"} 4
meterd_events_total{type="up",verdict="a \"b\""} 7
`
	ours, process, _ := strings.Cut(string(text), "# HELP go_")
	if ours != want {
		t.Errorf("got\n%s\nwant\n%s", ours, want)
	}
	for _, name := range []string{"process_resident_memory_bytes ", "go_goroutines ", "process_cpu_seconds_total "} {
		if !strings.Contains(process, "\n"+name) {
			t.Errorf("no %q", name)
		}
	}
}

// The sets of several cells make one text, each family once.
func TestTextOfParts(t *testing.T) {
	node, a, b := metric.NewSet(), metric.NewSet(), metric.NewSet()
	node.Gauges("meterd_cells", "Cells that there are.").Func(func() float64 { return 2 })
	for i, s := range []*metric.Set{a, b} {
		s.Counters("meterd_events_total", "Events that were decided.").Of("type", "up").Add(i + 1)
		s.Gauges("meterd_devices", "Devices that are known.").Func(func() float64 { return 1.5 })
		s.Histogram("meterd_commit_duration_seconds", "How long a commit took.", []float64{1}).Update(0.5)
	}
	part := func(s *metric.Set, cell string) metric.Part { return metric.Part{Set: s, Label: "cell", Value: cell} }
	text := metric.Text(metric.Part{Set: node}, part(a, "0"), part(b, "11"))
	metrictest.Lint(t, text)
	const want = `# HELP meterd_cells Cells that there are.
# TYPE meterd_cells gauge
meterd_cells 2
# HELP meterd_commit_duration_seconds How long a commit took.
# TYPE meterd_commit_duration_seconds histogram
meterd_commit_duration_seconds_bucket{cell="0",le="1"} 1
meterd_commit_duration_seconds_bucket{cell="0",le="+Inf"} 1
meterd_commit_duration_seconds_sum{cell="0"} 0.5
meterd_commit_duration_seconds_count{cell="0"} 1
meterd_commit_duration_seconds_bucket{cell="11",le="1"} 1
meterd_commit_duration_seconds_bucket{cell="11",le="+Inf"} 1
meterd_commit_duration_seconds_sum{cell="11"} 0.5
meterd_commit_duration_seconds_count{cell="11"} 1
# HELP meterd_devices Devices that are known.
# TYPE meterd_devices gauge
meterd_devices{cell="0"} 1.5
meterd_devices{cell="11"} 1.5
# HELP meterd_events_total Events that were decided.
# TYPE meterd_events_total counter
meterd_events_total{cell="0",type="up"} 1
meterd_events_total{cell="11",type="up"} 2
`
	if ours, _, _ := strings.Cut(string(text), "# HELP go_"); ours != want {
		t.Errorf("got\n%s\nwant\n%s", ours, want)
	}
}

// What promtool would complain about cannot be registered.
func TestBadFamiliesAreBugs(t *testing.T) {
	const help = "Events that were decided."
	half := []string{"type"}
	for what, register := range map[string]func(*metric.Set){
		"no help":             func(s *metric.Set) { s.Counters("meterd_a_total", "") },
		"half a sentence":     func(s *metric.Set) { s.Counters("meterd_a_total", "events that were decided") },
		"no full stop":        func(s *metric.Set) { s.Counters("meterd_a_total", "Events that were decided") },
		"two lines":           func(s *metric.Set) { s.Counters("meterd_a_total", "Events that\nwere decided.") },
		"another's name":      func(s *metric.Set) { s.Gauges("events", help) },
		"capitals":            func(s *metric.Set) { s.Gauges("meterd_Events", help) },
		"counter without end": func(s *metric.Set) { s.Counters("meterd_events", help) },
		"gauge as counter":    func(s *metric.Set) { s.Gauges("meterd_events_total", help) },
		"gauge as sum":        func(s *metric.Set) { s.Gauges("meterd_events_sum", help) },
		"histogram's count":   func(s *metric.Set) { s.Histogram("meterd_rows_count", help, []float64{1}) },
		"half a label":        func(s *metric.Set) { s.Counters("meterd_a_total", help).Of(half...) },
		"twice": func(s *metric.Set) {
			s.Gauges("meterd_devices", help)
			s.Gauges("meterd_devices", help)
		},
	} {
		func() {
			defer func() {
				if p, _ := recover().(string); !strings.HasPrefix(p, "BUG: ") {
					t.Errorf("%s: was taken", what)
				}
			}()
			register(metric.NewSet())
		}()
	}
}
