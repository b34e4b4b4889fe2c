package overview

import (
	"slices"

	"github.com/meterd/meterd/cluster/board"
)

// Map is what GET /v1/cluster answers.
type Map struct {
	Cluster string `json:"cluster"`
	// Cell is the one that all of a bound token's account is in.
	Cell  *int   `json:"cell,omitempty"`
	Nodes []Node `json:"nodes"`
	Cells []Cell `json:"cells"`
}

// Node is a node as it was heard last.
type Node struct {
	Node    string `json:"node"`
	Address string `json:"address"`
	State   string `json:"state"` // starting, ready, leaving or silent
	Version string `json:"version"`
}

// States of a cell.
const (
	Owned   = "owned"
	Unowned = "unowned" // nobody decides for it now, others may take over
	Damaged = "damaged" // nobody decides for it until somebody has repaired it
)

// Cell is how a cell stands.
type Cell struct {
	Cell     int       `json:"cell"`
	State    string    `json:"state"`
	Owner    string    `json:"owner"`   // empty while there is none
	Address  string    `json:"address"` // of the owner's own server for the cell, empty while there is none
	Epoch    uint64    `json:"epoch"`
	Group    uint64    `json:"group"` // the last one of the owner, or of the longest copy
	Devices  uint64    `json:"devices"`
	Replicas []Replica `json:"replicas"`
}

// Replica is a node's copy of a cell.
type Replica struct {
	Node      string     `json:"node"`
	Role      board.Role `json:"role"`
	LagGroups uint64     `json:"lag_groups"`
	// Why says what keeps it from owning the cell, or what is damaged in it.
	Why string `json:"why,omitempty"`
}

// Board is what an overview is made of; *board.Board is one.
type Board interface {
	Nodes() []board.Status
	Owner(cell int) (node, address string, epoch uint64, ok bool)
	// Changed returns a channel that is closed when something happens.
	Changed() <-chan struct{}
}

// Of returns how a cluster of so many cells stands.
func Of(cluster string, cells int, b Board) Map {
	nodes := b.Nodes()
	m := Map{Cluster: cluster, Nodes: make([]Node, 0, len(nodes)), Cells: make([]Cell, 0, cells)}
	for i := range nodes {
		n := &nodes[i]
		m.Nodes = append(m.Nodes, Node{Node: n.Node, Address: n.Address, State: n.State, Version: n.Version})
	}
	for cell := range cells {
		m.Cells = append(m.Cells, cellOf(cell, nodes, b))
	}
	return m
}

func cellOf(cell int, nodes []board.Status, b Board) Cell {
	c := Cell{Cell: cell, State: Unowned, Replicas: []Replica{}}
	node, address, epoch, ok := b.Owner(cell)
	if ok {
		c.State, c.Owner, c.Address, c.Epoch = Owned, node, address, epoch
	}
	damaged := false
	for i := range nodes {
		s, has := nodes[i].Cell(cell)
		if !has {
			continue
		}
		damaged = damaged || s.Role == board.Damaged && nodes[i].State != board.Silent
		if !ok {
			c.Epoch = max(c.Epoch, s.Epoch)
		}
		if nodes[i].Node == c.Owner || !ok && s.Group >= c.Group {
			c.Group, c.Devices = s.Group, s.Devices
		}
	}
	if !ok && damaged {
		c.State = Damaged
	}
	for i := range nodes {
		if s, has := nodes[i].Cell(cell); has {
			c.Replicas = append(c.Replicas, Replica{
				Node: nodes[i].Node, Role: s.Role, LagGroups: max(s.Group, c.Group) - s.Group, Why: s.Why,
			})
		}
	}
	return c
}

// Replica returns a node's copy of the cell.
func (c *Cell) Replica(node string) (Replica, bool) {
	i := slices.IndexFunc(c.Replicas, func(r Replica) bool { return r.Node == node })
	if i < 0 {
		return Replica{}, false
	}
	return c.Replicas[i], true
}
