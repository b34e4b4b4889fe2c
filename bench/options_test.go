package bench

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestDefaultOptionsAreValid(t *testing.T) {
	o := DefaultOptions()
	o.Program = "meterd"
	if err := o.Validate(); err != nil {
		t.Fatal(err)
	}
	if got := o.cases(); !reflect.DeepEqual(got, headlineCases(formats[:], "", time.Minute)) {
		t.Fatalf("%v", got)
	}
}

func TestCasesAreAllCombinations(t *testing.T) {
	o := DefaultOptions()
	o.Formats, o.Batches, o.Connections = []string{FormatNDJSON}, []int{1, 1000}, []int{8, 64}
	want := []Case{
		{Format: FormatNDJSON, Batch: 1, Connections: 8, Duration: time.Minute},
		{Format: FormatNDJSON, Batch: 1, Connections: 64, Duration: time.Minute},
		{Format: FormatNDJSON, Batch: 1000, Connections: 8, Duration: time.Minute},
		{Format: FormatNDJSON, Batch: 1000, Connections: 64, Duration: time.Minute},
	}
	if got := o.cases(); !reflect.DeepEqual(got, want) {
		t.Fatalf("%v", got)
	}
	o.Formats, o.Batches, o.Connections, o.Payloads, o.Draw = nil, nil, nil, []int{64}, DrawZipf
	want = []Case{
		{Format: FormatProtobuf, Batch: 1000, Connections: 32, Payload: 64, Draw: DrawZipf, Duration: time.Minute},
		{Format: FormatNDJSON, Batch: 1000, Connections: 32, Payload: 64, Draw: DrawZipf, Duration: time.Minute},
	}
	if got := o.cases(); !reflect.DeepEqual(got, want) {
		t.Fatalf("%v", got)
	}
}

// TestValidateReportsEveryFault at once.
func TestValidateReportsEveryFault(t *testing.T) {
	o := Options{
		URL:             "https://x",
		Scenarios:       []string{"nothing"},
		Product:         "a b",
		Devices:         devicesMax + 1,
		Batches:         []int{0, 65536},
		Connections:     []int{0},
		Payloads:        []int{-1, 4096},
		Samples:         0,
		LogSamples:      -1,
		Duration:        time.Second,
		CheckpointEvery: -1,
		Formats:         []string{"xml"},
		Draw:            "coins",
		Full:            true,
		Against:         "old",
	}
	err := o.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{
		`scenario "nothing" is unknown, there are activate, steady, stream, reconnect`,
		`address "https://x"`, "a token is needed",
		`product "a b"`,
		"devices 10000001", "samples 0", "log samples -1", "batch 0", "connections 0", "payload -1",
		"more than a body may have", "duration 1s", "must be positive", `format "xml"`, `draw "coins"`, "rounds 0",
		"full suite", "two daemons",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	o = DefaultOptions()
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), "a program or an address") {
		t.Errorf("without daemon: %v", err)
	}
}
