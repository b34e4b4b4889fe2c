package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func exampleReport() *Report {
	o := DefaultOptions()
	r := newReport(Machine{
		CPU: "a CPU", Cores: 2, Kernel: "6.1", MemoryBytes: 1 << 34, Filesystem: "ext4", Device: "/dev/vda", Go: "go1.26",
		GOMAXPROCS: 2,
	}, &o)
	r.Commit = "abc+"
	r.At = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	check := &Check{Sent: 120, Accepted: 120, Logged: 120, LicensesUsed: 10, DevicesCompared: 10, DeviceLogsCompared: 1}
	r.Results = []*Result{
		{
			Scenario:           "steady",
			Devices:            1_000_000,
			StallSeconds:       0.25,
			Case:               &Case{Format: FormatNDJSON, Batch: 1000, Connections: 32, Payload: 64},
			Events:             120_000_000,
			Batches:            120_000,
			WindowSeconds:      60,
			EventsPerSecond:    2e6,
			EventsOfEachSecond: []uint64{1, 2},
			Latency:            &Latency{P50: 0.001, P99: 0.01, P999: 0.02, Max: 1.5, Mean: 0.002},
			CPU: &CPU{
				DaemonSecondsPerMillion: 0.4,
				LoaderSecondsPerMillion: 0.1,
				DaemonCores:             0.8,
				LoaderCores:             0.2,
				OtherShare:              0.05,
			},
			Memory: &Memory{
				RSSBytes: 200 << 20, HighWaterBytes: 300 << 20, AnonymousBytes: 180 << 20, FileBytes: 20 << 20,
				TableBytes: 130 << 20,
			},
			Disk:  &Disk{LogBytesPerEvent: 6.4, WrittenBytesPerEvent: 15, Checkpoints: 2, LoggedBytes: 4 << 30},
			Check: check,
			Notes: []string{"a note"},
		},
		{
			Scenario: "restart", Restart: &Restart{Signal: "SIGKILL", ReadySeconds: 1.25, EventsBefore: 40_000_000},
			Memory: &Memory{RSSBytes: 150 << 20, BytesPerDevice: 120}, Check: check,
		},
	}
	r.Ratios = []Ratio{{
		Name: "ours ÷ theirs", Unit: unitRate, Median: 4, Sides: [2]float64{8e6, 2e6}, Rounds: []float64{4, 2, 9},
		OtherShare: 0.5,
	}}
	return r
}

// TestReportJSON: the file's text is what other programs compare: its members are fixed in testdata, and read back
// whole.
func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	r := exampleReport()
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf(
			"the report changed; if that is meant, raise reportFormat when a member changes its meaning, and put this into "+
				"testdata/report.json:\n%s",
			&b,
		)
	}
	var back Report
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(&back, r) {
		t.Errorf("read back: %+v", back)
	}
}

func TestReportTable(t *testing.T) {
	var b bytes.Buffer
	if err := exampleReport().WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{
		"steady ndjson batch=1000 conns=32 payload=64", "1 M", "2 M", "250 ms", "payload=64: a note",
		"ours ÷ theirs: 4 (8 M/s, 2 M/s; 2 to 9 in 3 rounds); others used up to 50 % of the machine",
		"1 ms", "10 ms", "1.5 s", "0.400", "0.100", "5 %", "180 MiB", "20 MiB", "300 MiB", "130 MiB", "4096 MiB", "6.40",
		"15.00", "restart SIGKILL: ready in 1.25 s, after 40 M events", "a device 120 B",
		"checked: 120 events, 10 licences, 10 devices, 1 logs",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the table:\n%s", want, text)
		}
	}
}

func TestNumbersForPeople(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 7: "7", 999: "999", 1500: "1.5 k", 1.8e6: "1.8 M", 12.34e9: "12.3 G"} {
		if got := short(n); got != want {
			t.Errorf("%v: %q, want %q", n, got, want)
		}
	}
	for seconds, want := range map[float64]string{0.00000125: "1.25 µs", 0.0123: "12.3 ms", 2: "2 s"} {
		if got := span(seconds); got != want {
			t.Errorf("%v s: %q, want %q", seconds, got, want)
		}
	}
}
