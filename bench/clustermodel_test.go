package bench

import (
	"strings"
	"testing"
)

// clusterResult is a window in which nodes cost so many microseconds an event.
func clusterResult(variant string, owners int, rate float64, nodes ...float64) *Result {
	x := &Result{
		Scenario:        "cluster",
		Variant:         variant,
		EventsPerSecond: rate,
		Latency:         &Latency{P50: 0.001, P99: 0.002},
		CPU:             &CPU{},
		Disk:            &Disk{},
		Check:           &Check{},
		Cluster:         &Cluster{Owners: owners, LoaderSecondsPerMillion: 0.1, Cores: 2},
	}
	for _, cost := range nodes {
		x.Cluster.Nodes = append(x.Cluster.Nodes, NodeCost{SecondsPerMillion: cost, WrittenBytesPerEvent: 10})
	}
	return x
}

// The model is of the medians of the rounds: d is the owner of all cells, f the mean of its standbys.
func TestClusterModel(t *testing.T) {
	r := &Report{Machine: Machine{Cores: 2}, Results: []*Result{
		{Scenario: "activate", Latency: &Latency{}, CPU: &CPU{}, Disk: &Disk{}, Check: &Check{}},
		clusterResult(variantAlone, 0, 4e6, 0.3),
		clusterResult("1 owner", 1, 1e6, 0.4, 0.1, 0.3),
		clusterResult("3 owners", 3, 2e6, 0.3, 0.2, 0.25),
		clusterResult(variantAlone, 0, 2e6, 0.5),
		clusterResult("1 owner", 1, 1e6, 0.4, 0.1, 0.3),
		clusterResult("3 owners", 3, 1e6, 0.3, 0.2, 0.25),
	}}
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a = 400 ns", "d = 400 ns", "f = 200 ns",
		"1 owner: busiest node 400 ns by the model, 400 ns measured: 1.00 and 1.00 times one daemon; 2.5 M/s a core",
		"3 owners: busiest node 267 ns by the model, 300 ns measured: 1.50 and 1.33 times one daemon; 3.33 M/s a core",
		"a/f = 2.00 times",
		"alone: 3 M/s measured with 2.00 cores; 4 M/s if nothing waited; 6 M/s with one core more",
		"3 owners: 1.5 M/s measured with 2.00 cores; 2.35 M/s if nothing waited; 3.53 M/s with one core more",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, &b)
		}
	}
}

// Without a daemon alone and an owner of all cells there is nothing to compare; without the scenario there is nothing.
func TestClusterModelNeedsItsTerms(t *testing.T) {
	for _, results := range [][]*Result{
		nil,
		{clusterResult(variantAlone, 0, 1e6, 0.3)},
		{clusterResult("1 owner", 1, 1e6, 0.4, 0.1, 0.3)},
	} {
		var b strings.Builder
		if err := (&Report{Results: results}).writeCluster(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "a =") || len(results) == 0 && b.Len() > 0 {
			t.Errorf("%s", &b)
		}
	}
}
