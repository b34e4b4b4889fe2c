package main_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/meterd/meterd/metric/metrictest"
)

// TestMetrics: what the daemon tells Prometheus passes the linter of promtool, and promtool itself where it is.
func TestMetrics(t *testing.T) {
	t.Parallel()
	d := newDaemon(t)
	d.withProduct("p1", `{}`)
	d.batch(line("connect", "p1", "d1"), line("up", "p1", "d1"))
	text := d.ask("GET", "/metrics", "").body
	metrictest.Lint(t, text)
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed; its linter ran in this process")
		return
	}
	check := exec.Command(promtool, "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
