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
}

// Scenarios returns all scenarios. A new one is a file with a function that takes a run, adds results to it, and leaves
// the target verified; a line here, and one in a suite.
func Scenarios() []Scenario {
	return []Scenario{
		{"activate", "first connects of all devices; what a device takes in memory", activate},
		{"steady", "messages of active devices, all accepted, in batches and one by one", steady},
		{"reconnect", "all devices are offline and connect again through other gateways", reconnect},
		{"hot", "all connections send to one device at a time, and to a hundred", hot},
		{"denials", "messages that are all denied: by the quota, and of devices that never connected", denials},
		{"midnight", "messages across the end of the product's day; waits for it up to a minute", midnight},
		{"restart", "stop by SIGTERM and by SIGKILL, and the time until the daemon is ready again", restart},
		{"checkpoint", "steady with checkpoints against steady without, by turns", checkpoint},
		{"cores", "steady with a daemon on all cores against one on one core", cores},
		{"redis", "yardstick: Redis with a quota script, volatile and synced", redis},
		{"victoria", "yardstick: VictoriaMetrics' text import", victoria},
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
