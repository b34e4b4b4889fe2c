package bench

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func TestPeerThatIsMissing(t *testing.T) {
	if _, err := installed("no-such-program"); !errors.Is(err, errNotInstalled) {
		t.Error(err)
	}
}

// TestPeerRatios: only what was measured with as many devices is compared, and only in the same setting.
func TestPeerRatios(t *testing.T) {
	result := func(scenario, variant string, devices int, rate float64, c Case) *Result {
		return &Result{Scenario: scenario, Variant: variant, Devices: devices, EventsPerSecond: rate, Case: &c}
	}
	headline := Case{Format: FormatProtobuf, Batch: 1000, Connections: 32}
	single := Case{Format: FormatNDJSON, Batch: 1, Connections: 64}
	hot := headline
	hot.Among = 1
	results := []*Result{
		result("steady", "", 10, 100, hot), result("steady", "", 10, 80, headline), result("steady", "", 10, 30, single),
		result("redis", "volatile", 10, 10, Case{Format: "resp", Batch: redisDepth, Connections: 32}),
		result("redis", "appendfsync=always", 10, 20, Case{Format: "resp", Batch: 1, Connections: 64}),
		result("redis", "appendfsync=always", 99, 20, Case{Format: "resp", Batch: redisDepth, Connections: 32}),
		{Scenario: "restart"},
	}
	against := result("steady", "", 10, 15, single)
	against.Against = true
	results = append(results, against)
	got := fmt.Sprint(ratiosOf(peerPairs(results)))
	want := "[meterd steady protobuf batch=1000 conns=32 ÷ redis resp batch=128 conns=32 volatile: 8 (80/s, 10/s) " +
		"meterd steady ndjson batch=1 conns=64 ÷ redis resp batch=1 conns=64 appendfsync=always: 1.5 (30/s, 20/s) " +
		"meterd steady ndjson batch=1 conns=64 [against] ÷ redis resp batch=1 conns=64 appendfsync=always: 0.75 (15/s, 20/s)]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestRatioIsTheMedian(t *testing.T) {
	round := func(a, b, other float64) pair {
		return pair{"x", rate, &Result{EventsPerSecond: a}, &Result{EventsPerSecond: b, CPU: &CPU{OtherShare: other}}}
	}
	none := pair{"no figure", rate, &Result{EventsPerSecond: 1}, &Result{}}
	got := ratiosOf([]pair{round(4, 1, 0), none, round(2, 2, 0.25), round(4, 2, 0.125), round(9, 3, 0)})
	want := []Ratio{{
		Name: "x", Unit: unitRate, Median: 2.5, Sides: [2]float64{4, 2}, Rounds: []float64{4, 1, 2, 3}, OtherShare: 0.25,
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// TestTwoDaemonsAreComparedCaseByCase: the windows that are compared follow each other, and each figure is compared
// that both have.
func TestTwoDaemonsAreComparedCaseByCase(t *testing.T) {
	o := DefaultOptions()
	o.Program, o.Against, o.Scenarios = "new", "old", []string{"steady", "restart"}
	o.Batches, o.Connections = []int{1000, 1}, []int{32}
	var got []string
	for _, p := range o.parts() {
		if len(p.steps) != 1 {
			t.Fatalf("%+v", p)
		}
		s := p.steps[0]
		for _, c := range s.options.cases() {
			got = append(got, s.scenario.Name+" "+c.String())
			if s.scenario.Name == "restart" {
				break // It takes the first one.
			}
		}
	}
	want := []string{
		"steady protobuf batch=1000 conns=32", "steady protobuf batch=1 conns=32",
		"steady ndjson batch=1000 conns=32", "steady ndjson batch=1 conns=32", "restart protobuf batch=1000 conns=32",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	var order []int
	for round := range 2 {
		if err := alternate(round, 2, func(side int) error { order = append(order, side); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(order, []int{0, 1, 1, 0}) {
		t.Errorf("the sides' order is %v", order)
	}

	c := &Case{Format: FormatProtobuf, Batch: 1, Connections: 64}
	ours := []*Result{
		{Scenario: "steady", Case: c, EventsPerSecond: 30, Latency: &Latency{P99: 1}, Memory: &Memory{RSSBytes: 1 << 20}},
		{Scenario: "restart", Restart: &Restart{Signal: "SIGTERM", ReadySeconds: 1}},
	}
	theirs := []*Result{
		{Scenario: "restart", Restart: &Restart{Signal: "SIGTERM", ReadySeconds: 2}, Against: true},
		{
			Scenario: "steady", Case: c, EventsPerSecond: 20, Latency: &Latency{P99: 4}, Memory: &Memory{RSSBytes: 1 << 20},
			Against: true,
		},
	}
	text := fmt.Sprint(ratiosOf(sidePairs(ours, theirs)))
	if want := "[steady protobuf batch=1 conns=64 ÷ against, events/s: 1.5 (30/s, 20/s) " +
		"steady protobuf batch=1 conns=64 ÷ against, p99: 0.25 (1 s, 4 s) " +
		"steady protobuf batch=1 conns=64 ÷ against, resident memory: 1 (1.05 MB, 1.05 MB) " +
		"restart SIGTERM ÷ against, ready: 0.5 (1 s, 2 s)]"; text != want {
		t.Errorf("%s\nwant %s", text, want)
	}
}

// TestSuites: every step is valid, and every scenario is in the full one; cores and cluster are too long for the
// short one.
func TestSuites(t *testing.T) {
	o := DefaultOptions()
	o.Program = "meterd"
	for name, parts := range map[string][]part{"short": o.shortSuite(), "full": o.fullSuite()} {
		missing := map[string]bool{}
		for _, s := range Scenarios() {
			missing[s.Name] = true
		}
		for _, p := range parts {
			for _, s := range p.steps {
				delete(missing, s.scenario.Name)
				if err := s.options.Validate(); err != nil || !s.optional || s.options.Devices != p.options.Devices {
					t.Errorf("%s, %s: %v", name, s.scenario.Name, err)
				}
			}
		}
		if name == "short" {
			delete(missing, "cores")
			delete(missing, "cluster")
		}
		if len(missing) > 0 {
			t.Errorf("%s lacks %v", name, missing)
		}
	}
	o.Scenarios = []string{"hot", "steady"}
	if p := o.parts(); len(p) != 1 || len(p[0].steps) != 2 || p[0].steps[0].scenario.Name != "hot" ||
		p[0].steps[0].optional {
		t.Errorf("%+v", p)
	}
}
