package overview

import (
	"strconv"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/metric"
)

// RegisterMetrics adds what this node sees of the cluster to set.
func (v *Overview) RegisterMetrics(set *metric.Set) {
	nodes := set.Gauges("meterd_cluster_nodes", "Nodes of the cluster that were heard, by state; silent ones too.")
	for _, state := range []string{board.Starting, board.Ready, board.Leaving, board.Silent} {
		nodes.Func(func() float64 {
			n := 0
			for _, node := range v.Map().Nodes {
				if node.State == state {
					n++
				}
			}
			return float64(n)
		}, "state", state)
	}
	states := set.Gauges("meterd_cluster_cell_state", "Whether a cell is in the state, as this node sees it: 1 or 0.")
	roles := set.Gauges("meterd_cluster_cell_role", "Whether this node has the role for a cell: 1 or 0.")
	lag := set.Gauges("meterd_cluster_cell_lag_groups", "Groups that this node's copy of a cell lacks.")
	epochs := set.Gauges("meterd_cluster_cell_epoch", "Number of the epoch of a cell; it grows when the owner changes.")
	for cell := range v.o.Cells {
		label := strconv.Itoa(cell)
		for _, state := range []string{Owned, Unowned, Damaged} {
			states.Whether(func() bool { return v.Map().Cells[cell].State == state }, "cell", label, "state", state)
		}
		own := func() Replica {
			r, _ := v.Map().Cells[cell].Replica(v.o.Node)
			return r
		}
		for _, role := range []board.Role{board.Owner, board.Standby, board.Following, board.Reseeding, board.Damaged} {
			roles.Whether(func() bool { return own().Role == role }, "cell", label, "role", string(role))
		}
		lag.Func(func() float64 { return float64(own().LagGroups) }, "cell", label)
		epochs.Func(func() float64 { return float64(v.Map().Cells[cell].Epoch) }, "cell", label)
	}
}
