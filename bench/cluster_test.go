package bench

import (
	"os"
	"slices"
	"testing"
	"time"
)

// TestRunCluster measures real nodes. It takes a minute, half of it waiting: METERD_BENCH_CLUSTER=1 runs it.
func TestRunCluster(t *testing.T) {
	if os.Getenv("METERD_BENCH_CLUSTER") == "" {
		t.Skip("METERD_BENCH_CLUSTER is not set")
	}
	o := realOptions(t)
	o.Scenarios = []string{"cluster"}
	report := runWhole(t, o)
	var got []string
	for _, x := range report.Results {
		checkResult(t, x, &o)
		if x.Cluster == nil {
			continue
		}
		got = append(got, x.Variant)
		for i, n := range x.Cluster.Nodes {
			if n.SecondsPerMillion <= 0 || n.WrittenBytesPerEvent <= 0 {
				t.Errorf("%s: node %d: %+v", x.Variant, i+1, n)
			}
		}
		if x.Cluster.LoaderSecondsPerMillion <= 0 || x.Cluster.LoopbackBytesPerEvent <= 0 || x.Cluster.Cores <= 0 {
			t.Errorf("%s: %+v", x.Variant, x.Cluster)
		}
	}
	want := []string{variantAlone}
	for _, c := range clusterCases {
		want = append(want, c.variant)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A map shows whether the cells are where they were moved.
func TestCellsAreWhereTheyWereMoved(t *testing.T) {
	n := &nodes{cells: make([]*target, 4)}
	var m clusterMap
	if n.owned(m, 2) == nil {
		t.Error("a map without cells will do")
	}
	m.Cells = make([]mappedCell, 4)
	for i := range m.Cells {
		m.Cells[i].Owner, m.Cells[i].Address = nodeName(i%2), "127.0.0.1:1"
	}
	if err := n.owned(m, 2); err != nil {
		t.Error(err)
	}
	if n.owned(m, 3) == nil {
		t.Error("cells of two nodes are taken for those of three")
	}
	m.Cells[1].Address = ""
	if n.owned(m, 2) == nil {
		t.Error("an owner without an address will do")
	}
}

// What an idle process uses is taken off, and never more than it used.
func TestIdleProcessorTimeIsTakenOff(t *testing.T) {
	at := time.Unix(0, 0)
	from := used{at: at, daemons: []usage{{cpuSeconds: 1}, {cpuSeconds: 1, writeBytes: 5}}, loader: 1, loopback: 100}
	to := used{
		at: at.Add(10 * time.Second), daemons: []usage{{cpuSeconds: 4}, {cpuSeconds: 1.5, writeBytes: 2e6 + 5}}, loader: 1.2,
		loopback: 2e7 + 100,
	}
	c := to.minus(from, []float64{0.1, 0.1}, 2e6)
	near := func(what string, got, want float64) {
		if got < want-1e-9 || got > want+1e-9 {
			t.Errorf("%s: %v, not %v", what, got, want)
		}
	}
	near("busy", c.Nodes[0].SecondsPerMillion, 1)
	near("idle", c.Nodes[1].SecondsPerMillion, 0)
	near("written", c.Nodes[1].WrittenBytesPerEvent, 1)
	near("loader", c.LoaderSecondsPerMillion, 0.1)
	near("loopback", c.LoopbackBytesPerEvent, 10)
}
