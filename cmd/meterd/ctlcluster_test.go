package main

import (
	"strings"
	"testing"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/overview"
)

func TestClusterAsTables(t *testing.T) {
	var b strings.Builder
	if err := writeCluster(&b, &overview.Map{
		Cluster: "demo",
		Nodes: []overview.Node{
			{Node: "n1", State: "ready", Address: "h:1", Version: "v1"}, {Node: "n2", State: "silent"},
		},
		Cells: []overview.Cell{
			{Cell: 0, State: "owned", Owner: "n1", Epoch: 6, Group: 9120, Devices: 5, Replicas: []overview.Replica{
				{Node: "n1", Role: board.Owner}, {Node: "n2", Role: board.Standby, LagGroups: 3},
			}},
			{Cell: 1, State: "damaged", Epoch: 2, Group: 7, Replicas: []overview.Replica{
				{Node: "n2", Role: board.Damaged, Why: "the stream\nis gone"},
			}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	const want = `NODE  STATE   ADDRESS  VERSION
n1    ready   h:1      v1
n2    silent  -        -

CELL  STATE    OWNER  EPOCH  GROUP  DEVICES  COPIES, AND GROUPS THAT THEY LACK
0     owned    n1     6      9120   5        n2 3
1     damaged  -      2      7      0        n2 0 damaged

cell 1 on n2: the stream\nis gone
`
	if b.String() != want {
		t.Fatalf("%s\n, not\n%s", b.String(), want)
	}
}
