package bench

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestRun runs every scenario against the real daemon, small and short, and looks at whether the figures are there; what they
// are is no test's business.
func TestRun(t *testing.T) {
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
	o.Program, o.Dir, o.Devices, o.Samples, o.LogSamples = program, dir, 5000, 100, 3
	o.Batches, o.Connections, o.Payloads = []int{100}, []int{4}, []int{0, 32}
	o.Duration, o.Warmup, o.CheckpointEvery = 2*watchEvery, 100*time.Millisecond, time.Second
	o.Progress = t.Output()
	report, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Results) != 5 {
		t.Fatalf("%d results, want activate, steady twice, restart twice", len(report.Results))
	}
	for _, x := range report.Results {
		if x.Check.LicensesUsed != o.Devices || x.Check.DevicesCompared != o.Samples || x.Check.DeviceLogsCompared != o.LogSamples {
			t.Errorf("%s: %+v", x.Scenario, x.Check)
		}
		if x.Memory == nil || x.Memory.RSSBytes == 0 || x.Memory.TableBytes == 0 {
			t.Errorf("%s: memory %+v", x.Scenario, x.Memory)
		}
		if x.Restart != nil {
			if x.Restart.ReadySeconds <= 0 || x.Restart.Signal == "SIGKILL" && x.Restart.EventsBefore == 0 {
				t.Errorf("%+v", x.Restart)
			}
			continue
		}
		if x.Events == 0 || x.EventsPerSecond <= 0 || x.Latency.P50 <= 0 || x.Latency.P999 > x.Latency.Max || x.Check.Sent < x.Events ||
			x.Disk.LogBytesPerEvent <= 0 || x.Disk.EventsPerGroup < 1 {
			t.Errorf("%s %s: %+v", x.Scenario, x.Case, x)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, "meterd-bench-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
