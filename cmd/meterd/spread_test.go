package main

import (
	"slices"
	"testing"

	"github.com/meterd/meterd/cluster/board"
)

// A snapshot is waited for where a standby is heard that copies snapshots and has not told that it has this one.
func TestWhoLacksSealed(t *testing.T) {
	node := func(name, state string, role board.Role, sealed *uint64, lacks int) board.Status {
		return board.Status{
			Node: name, State: state, Cells: []board.CellStatus{{Cell: 3, Role: role, Sealed: sealed, Lacks: lacks}},
		}
	}
	have, lack := haveSealed([]board.Status{
		node("own", board.Ready, board.Standby, new(uint64), 0),
		node("owner", board.Ready, board.Owner, new(uint64), 0),
		node("silent", board.Silent, board.Standby, new(uint64), 0),
		node("leaving", board.Leaving, board.Standby, new(uint64), 0),
		node("seeded", board.Ready, board.Reseeding, nil, 0),
		node("older", board.Ready, board.Standby, nil, 0), // Its meterd copies none.
		node("first", board.Ready, board.Standby, new(uint64), 0),
		node("behind", board.Ready, board.Standby, new(uint64(7)), 1),
		node("gaps", board.Ready, board.Standby, new(uint64(9)), 1), // It may be this one that it lacks.
		node("just", board.Ready, board.Standby, new(uint64(8)), 1), // It is an older one that it lacks.
		node("ahead", board.Ready, board.Standby, new(uint64(9)), 0),
		{Node: "elsewhere", State: board.Ready},
	}, "own", 3, 8)
	if !slices.Equal(have, []string{"just", "ahead"}) || !slices.Equal(lack, []string{"first", "behind", "gaps"}) {
		t.Errorf("%q have it, %q lack it", have, lack)
	}
}
