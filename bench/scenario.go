package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Scenario is one thing that is measured.
type Scenario struct {
	Name  string
	About string // one line
	run   func(context.Context, *run) error
	// peer: it measures a yardstick, not the daemon.
	peer bool
}

// Scenarios returns all scenarios. A new one needs a file with a function that adds verified results to a run, a line
// here, and a line in a suite.
func Scenarios() []Scenario {
	return []Scenario{
		{"activate", "first connects of all devices; what a device takes in memory", activate, false},
		{"steady", "messages of active devices, all accepted, in batches and one by one", steady, false},
		{
			"stream",
			"event streams, single events and batches, at full speed and at fixed rates, and HTTP beside",
			stream,
			false,
		},
		{"reconnect", "all devices are offline and connect again through other gateways", reconnect, false},
		{"hot", "all connections send to one device at a time, and to a hundred", hot, false},
		{"denials", "messages that are all denied: by the quota, and of devices that never connected", denials, false},
		{"midnight", "messages across the end of the product's day; waits for it up to a minute", midnight, false},
		{"restart", "stop by SIGTERM and by SIGKILL, and the time until the daemon is ready again", restart, false},
		{"checkpoint", "steady with checkpoints and without, alternating", checkpoint, false},
		{"cores", "steady with a daemon on all cores and on one core", cores, false},
		{
			"cluster",
			"three nodes beside one daemon: cells on one, two and three of them; what an event costs each",
			cluster,
			false,
		},
		{"redis", "yardstick: Redis with a quota script, volatile and synced", redis, true},
		{"victoria", "yardstick: VictoriaMetrics' text import", victoria, true},
	}
}

// scenariosNamed returns the scenarios with these names.
func scenariosNamed(names []string) ([]Scenario, error) {
	all := Scenarios()
	var chosen []Scenario
	for _, name := range names {
		i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("scenario %q is unknown, there are %s", name, scenarioNames(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func scenarioNames(list []Scenario) string {
	names := make([]string, len(list))
	for i, s := range list {
		names[i] = s.Name
	}
	return strings.Join(names, ", ")
}
