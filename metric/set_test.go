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
