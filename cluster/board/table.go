package board

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// entry is what is known of one node.
type entry struct {
	status Status
	heard  time.Time // with the monotonic clock
	clock  clock
}

// table keeps the newest status of each node. It has no lock and no clock of its own.
type table struct {
	nodes map[string]*entry
	begun time.Time // with the monotonic clock, which clocks are compared with
	cells [cellsMax]latest
}

// latest is the newest epoch of a cell's stream that anybody has seen.
type latest struct {
	stream Bytes16
	epoch  uint64
}

// see takes an epoch that a node has seen. Epochs begin anew with a stream that was repaired.
func (l *latest) see(c *CellStatus) {
	switch {
	case c.Stream == l.stream:
		l.epoch = max(l.epoch, c.Epoch)
	case l.epoch == 0 || c.Role == Owner:
		*l = latest{c.Stream, c.Epoch}
	}
}

// take takes what a node told, unless it is older than what is known of it. It says whether others should look again,
// and whether it is a process that was not heard before.
func (t *table) take(s Status, now time.Time) (news, boot bool) {
	e := t.nodes[s.Node]
	if e == nil {
		if len(t.nodes) >= nodesMax {
			return false, false
		}
		e = &entry{}
		t.nodes[s.Node] = e
	}
	boot = e.status.Boot != s.Boot
	if !boot && s.Told <= e.status.Told {
		return false, false
	}
	if boot {
		e.clock = clock{}
	}
	news = boot || now.Sub(e.heard) > silentAfter || changed(&e.status, &s)
	e.status, e.heard = s, now
	e.clock.hear(s.WallMs, now.Sub(t.begun))
	for i := range s.Cells {
		t.cells[s.Cells[i].Cell].see(&s.Cells[i])
	}
	return news, boot
}

// list returns all nodes by name; those that were not heard for a time are silent.
func (t *table) list(now time.Time) []Status {
	list := make([]Status, 0, len(t.nodes))
	for _, e := range t.nodes {
		s := e.status
		if now.Sub(e.heard) > silentAfter {
			s.State = Silent
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Node, b.Node) })
	return list
}

// owner is who owns a cell as far as anybody has told.
type owner struct {
	node, address string
	epoch         uint64
	heard         time.Time
	letGo         time.Time // when the one before it was told to be it no longer; zero: there is one, or there never was
}

// owners returns the owner of each cell; one without an owner has no node.
func (t *table) owners() *[cellsMax]owner {
	var list [cellsMax]owner
	for _, name := range slices.Sorted(maps.Keys(t.nodes)) {
		e := t.nodes[name]
		for i := range e.status.Cells {
			c := &e.status.Cells[i]
			newest := c.Role == Owner && (latest{c.Stream, c.Epoch}) == t.cells[c.Cell]
			if o := &list[c.Cell]; newest && (o.node == "" || e.heard.After(o.heard)) {
				*o = owner{node: name, address: c.Address, epoch: c.Epoch, heard: e.heard}
			}
		}
	}
	return &list
}
