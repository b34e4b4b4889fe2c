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
	if got := o.cases(); !reflect.DeepEqual(got, HeadlineCases(time.Minute)) {
		t.Fatalf("%v", got)
	}
}

func TestCasesAreAllCombinations(t *testing.T) {
	o := DefaultOptions()
	o.Batches, o.Connections = []int{1, 1000}, []int{8, 64}
	want := []Case{
		{1, 8, 0, time.Minute},
		{1, 64, 0, time.Minute},
		{1000, 8, 0, time.Minute},
		{1000, 64, 0, time.Minute},
	}
	if got := o.cases(); !reflect.DeepEqual(got, want) {
		t.Fatalf("%v", got)
	}
	o.Batches, o.Connections, o.Payloads = nil, nil, []int{64}
	if got := o.cases(); !reflect.DeepEqual(got, []Case{{1000, 32, 64, time.Minute}}) {
		t.Fatalf("%v", got)
	}
}

// TestValidateReportsEveryFault at once.
func TestValidateReportsEveryFault(t *testing.T) {
	o := Options{
		URL: "https://x", Scenarios: []string{"nothing"}, Product: "a b", Devices: devicesMax + 1, Batches: []int{0, 65536}, Connections: []int{0},
		Payloads: []int{-1, 4096}, Samples: 0, LogSamples: -1, Duration: time.Second, CheckpointEvery: -1,
	}
	err := o.Validate()
	if err == nil {
		t.Fatal("valid")
	}
	for _, want := range []string{
		`scenario "nothing" is unknown, there are activate, steady, restart`, `address "https://x"`, "a token is needed", `product "a b"`,
		"devices 10000001", "samples 0", "log samples -1", "batch 0", "connections 0", "payload -1", "more than a body may have", "duration 1s", "must be positive",
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
