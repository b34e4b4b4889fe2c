package bench

import (
	"errors"
	"fmt"
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
	got := fmt.Sprint(peerRatios(results))
	want := "[meterd protobuf batch=1000 conns=32 ÷ redis resp batch=128 conns=32, volatile: 8 " +
		"meterd ndjson batch=1 conns=64 ÷ redis resp batch=1 conns=64, appendfsync=always: 1.5]"
	if got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

func TestRatioIsTheMedian(t *testing.T) {
	pair := func(a, b, other float64) [2]*Result {
		return [2]*Result{{EventsPerSecond: a}, {EventsPerSecond: b, CPU: &CPU{OtherShare: other}}}
	}
	r := newRatio("x", pair(4, 1, 0), pair(2, 2, 0.25), pair(4, 2, 0.125), pair(9, 3, 0))
	if r.Median != 2.5 || len(r.Rounds) != 4 || r.OtherShare != 0.25 {
		t.Errorf("%+v", r)
	}
}

// TestSuites: every step is valid, and every scenario is in the full one; cores is too long for the short one.
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
