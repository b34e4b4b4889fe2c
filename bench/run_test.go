package bench

import (
	"errors"
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
	report, err := Run(t.Context(), o)
	for try := 1; err == nil && try < 3 && isEmpty(report); try++ {
		t.Log("the machine stood still for a whole window: all again")
		report, err = Run(t.Context(), o)
	}
	if err != nil {
		t.Fatal(err)
	}
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

// isEmpty reports whether nothing was answered in one of the windows: they are short.
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
		(x.Check.LicensesUsed != licenses || x.Check.DevicesCompared != o.Samples || x.Check.DeviceLogsCompared != o.LogSamples) {
		t.Errorf("%s: %+v", x.name(), x.Check)
	}
	if x.Memory == nil || x.Memory.RSSBytes == 0 || !isPeer && x.Memory.TableBytes == 0 {
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
		!isPeer && (x.Disk.LogBytesPerEvent <= 0 || x.Disk.EventsPerGroup < 1) {
		t.Errorf("%s: %+v", x.name(), x)
	}
}
