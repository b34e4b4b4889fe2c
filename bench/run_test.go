package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// realOptions returns a small and short run of the real daemon.
func realOptions(t *testing.T) Options {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and starts the real binary")
	}
	dir := t.TempDir()
	if _, err := realDirectory(dir); errors.Is(err, errMemoryDisk) {
		t.Skip(err)
	}
	program := filepath.Join(dir, "meterd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../cmd/meterd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := DefaultOptions()
	o.Program, o.Dir, o.Devices, o.Samples, o.LogSamples, o.Rounds = program, dir, 5000, 100, 3, 1
	o.Batches, o.Connections, o.Payloads = []int{100}, []int{4}, []int{0, 32}
	o.Duration, o.Warmup, o.CheckpointEvery = 2*watchEvery, 100*time.Millisecond, time.Second
	o.Progress = t.Output()
	return o
}

// TestRun runs every scenario but midnight against the real daemon, and looks at whether the figures are there; what
// they are is no test's business.
func TestRun(t *testing.T) {
	o := realOptions(t)
	t.Parallel()
	want := map[string]int{
		"activate":           1,
		"steady":             4,
		"reconnect":          1,
		"hot":                2,
		"denied by quota":    1,
		"denied unconnected": 1,
		"restart":            2,
		"checkpoint":         2,
		"cores":              2,
	}
	o.Scenarios = []string{"activate", "steady", "reconnect", "hot", "denials", "restart", "checkpoint", "cores"}
	for _, peer := range []struct {
		scenario, program string
		results           int
	}{{"redis", "redis-server", 6}, {"victoria", "victoria-metrics", 1}} {
		if _, err := installed(peer.program); err == nil {
			o.Scenarios = append(o.Scenarios, peer.scenario)
			want[peer.scenario] = peer.results
		}
	}
	report := runWhole(t, o)
	for _, x := range report.Results {
		want[x.Scenario]--
		checkResult(t, x, &o)
	}
	for scenario, missing := range want {
		if missing != 0 {
			t.Errorf("%s: %d results are missing", scenario, missing)
		}
	}
	if len(report.Ratios) != 2 {
		t.Errorf("ratios %v", report.Ratios)
	}
	left, err := filepath.Glob(filepath.Join(o.Dir, "meterd-bench-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestRunStream measures streams of the real daemon, one and many in flight, as fast as can be and at fixed rates.
func TestRunStream(t *testing.T) {
	o := realOptions(t)
	t.Parallel()
	o.Scenarios = []string{"stream"}
	began := time.Now()
	report := runWhole(t, o)
	lasted := time.Since(began).Seconds()
	var got []string
	for _, x := range report.Results {
		checkResult(t, x, &o)
		got = append(got, x.label())
		// What was due while the machine stood still is sent later, also what was due before the window.
		if most := float64(x.Case.Rate) * lasted; most > 0 && float64(x.Events) > most {
			t.Errorf("%s: %d events, and no more than %.0f were due in the whole test", x.label(), x.Events, most)
		}
	}
	want := []string{"activate protobuf batch=1000 conns=16"}
	for _, c := range streamCases() {
		scenario := "steady "
		if c.Stream {
			scenario = "stream "
		}
		want = append(want, scenario+c.String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if len(report.Ratios) != 4 {
		t.Errorf("ratios %v", report.Ratios)
	}
}

// TestRunAgainst compares the real daemon with itself: both are measured, alternating, and each figure is compared.
func TestRunAgainst(t *testing.T) {
	o := realOptions(t)
	t.Parallel()
	o.Against, o.Rounds, o.Scenarios, o.Formats, o.Payloads = o.Program, 2, []string{"steady"}, formats[:1], nil
	report := runWhole(t, o)
	var got []string
	for _, x := range report.Results {
		checkResult(t, x, &o)
		got = append(got, fmt.Sprintf("%s %d %t", x.Scenario, x.Round, x.Against))
	}
	want := []string{
		"activate 1 false", "steady 1 false", "activate 1 true", "steady 1 true",
		"activate 2 true", "steady 2 true", "activate 2 false", "steady 2 false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	compared := slices.ContainsFunc(report.Ratios, func(r Ratio) bool {
		return r.Name == "steady protobuf batch=100 conns=4 ÷ against, events/s" && len(r.Rounds) == 2 && r.Median > 0
	})
	if !compared {
		t.Errorf("ratios: %v", report.Ratios)
	}
}

// runWhole runs until no window is empty, a few times: they are short, and a busy machine can stand still for one.
func runWhole(t *testing.T, o Options) *Report {
	t.Helper()
	report, err := Run(t.Context(), o)
	for try := 1; err == nil && try < 3 && isEmpty(report); try++ {
		t.Log("the machine stood still for a whole window: all again")
		report, err = Run(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// isEmpty reports whether nothing was answered in one of the windows.
func isEmpty(report *Report) bool {
	return slices.ContainsFunc(report.Results, func(x *Result) bool { return x.Restart == nil && x.Events == 0 })
}

// checkResult looks at whether a result of the real daemon, or of a yardstick, has its figures.
func checkResult(t *testing.T, x *Result, o *Options) {
	t.Helper()
	isPeer := x.Scenario == "redis" || x.Scenario == "victoria"
	licenses := o.Devices
	if x.Scenario == "denied unconnected" {
		licenses = 0
	}
	if !isPeer &&
		(x.Check.LicensesUsed != licenses || x.Check.DevicesCompared != o.Samples ||
			x.Check.DeviceLogsCompared != o.LogSamples) {
		t.Errorf("%s: %+v", x.name(), x.Check)
	}
	if m := x.Memory; m == nil || m.AnonymousBytes == 0 || m.FileBytes == 0 || m.AnonymousBytes+m.FileBytes > m.RSSBytes ||
		!isPeer && m.TableBytes == 0 {
		t.Errorf("%s: memory %+v", x.name(), x.Memory)
	}
	if x.Restart != nil {
		if x.Restart.ReadySeconds <= 0 || x.Restart.Signal == "SIGKILL" && x.Restart.EventsBefore == 0 {
			t.Errorf("%+v", x.Restart)
		}
		return
	}
	if x.Events == 0 || x.EventsPerSecond <= 0 || x.Latency.P50 <= 0 || x.Latency.P999 > x.Latency.Max ||
		x.Check.Sent < x.Events ||
		!isPeer && (x.Disk.LogBytesPerEvent <= 0 || x.Disk.LoggedBytes == 0 || x.Disk.EventsPerGroup < 1) {
		t.Errorf("%s: %+v", x.name(), x)
	}
}
