package bench

import (
	"context"
	"fmt"
	"strings"
)

// Scenario is one thing that is measured.
type Scenario struct {
	Name  string
	About string // one line
	run   func(context.Context, *run) error
}

// Scenarios returns all scenarios, in the order in which they are run when none is named. A new one is a file with a function that
// takes a run, adds results to it, and leaves the target verified; and a line here.
func Scenarios() []Scenario {
	return []Scenario{
		{"activate", "first connects of all devices; what a device takes in memory", activate},
		{"steady", "messages uniform over active devices, all accepted", steady},
		{"restart", "stop by SIGTERM and by SIGKILL, and the time until the daemon is ready again", restart},
	}
}

// scenariosNamed returns the scenarios with these names, all without any.
func scenariosNamed(names []string) ([]Scenario, error) {
	all := Scenarios()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Scenario
	for _, name := range names {
		found := false
		for _, s := range all {
			if s.Name == name {
				chosen, found = append(chosen, s), true
			}
		}
		if !found {
			return nil, fmt.Errorf("scenario %q is unknown, there are %s", name, scenarioNames(all))
		}
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
