package bench

import (
	"strings"
	"testing"
)

func TestMetrics(t *testing.T) {
	const text = `# TYPE meterd_events_total gauge
meterd_events_total{type="up",verdict="accepted"} 1.5e+06
meterd_events_total{type="connect",verdict="accepted"} 10
meterd_events_total{type="up",verdict="message_quota_exceeded"} 3
meterd_events_total{type="up",verdict="suspended"} 4
meterd_log_rows_total 1500017
meterd_commit_bytes_total 9000000
meterd_groups_total 300
meterd_checkpoint_age_seconds 2.5
meterd_table_mapped_bytes 134217728
meterd_commit_duration_seconds_bucket{vmrange="1e-3...2e-3"} 7

`
	var m Metrics
	for line := range strings.Lines(text) {
		if err := m.add(strings.TrimSpace(line)); err != nil {
			t.Fatal(err)
		}
	}
	want := Metrics{
		Accepted:             1_500_010,
		Denied:               7,
		LogRows:              1_500_017,
		CommitBytes:          9_000_000,
		Groups:               300,
		CheckpointAgeSeconds: 2.5,
		TableBytes:           1 << 27,
	}
	if m != want {
		t.Fatalf("%+v", m)
	}
	since := m.minus(Metrics{Accepted: 10, Denied: 7, LogRows: 17, CommitBytes: 1000, Groups: 100})
	if since.Accepted != 1_500_000 || since.Denied != 0 || since.LogRows != 1_500_000 || since.CommitBytes != 8_999_000 ||
		since.Groups != 200 ||
		since.TableBytes != 1<<27 {
		t.Fatalf("since: %+v", since)
	}
	if err := m.add("meterd_log_rows_total many"); err == nil {
		t.Error("a word is taken for a number")
	}
}

func TestProbeSeesCheckpoints(t *testing.T) {
	for name, c := range map[string]struct {
		ages []float64
		want int
	}{
		"none":        {[]float64{0, 0, 0}, 0},
		"the first":   {[]float64{0, 0.5, 1.5}, 1},
		"another":     {[]float64{10, 11, 0.2, 1.2}, 1},
		"two":         {[]float64{29, 0.5, 29.5, 0.1}, 2},
		"only growth": {[]float64{3, 4, 5}, 0},
	} {
		p := probe{age: c.ages[0]}
		for _, age := range c.ages[1:] {
			p.countCheckpoint(age)
		}
		if p.checkpoints != c.want {
			t.Errorf("%s: %d, want %d", name, p.checkpoints, c.want)
		}
	}
}

func TestReadyAddress(t *testing.T) {
	address, ok := readyAddress(
		"time=2026-11-23T10:00:00.000Z level=INFO msg=ready address=127.0.0.1:34567 data=/x version=dev\n",
	)
	if !ok || address != "127.0.0.1:34567" {
		t.Errorf("%q %v", address, ok)
	}
	for _, line := range []string{"", "msg=listening address=127.0.0.1:1\n", " msg=ready data=/x\n"} {
		if _, ok := readyAddress(line); ok {
			t.Errorf("%q says ready", line)
		}
	}
}
