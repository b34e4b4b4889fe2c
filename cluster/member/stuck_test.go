package member

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/cluster/board"
)

// Who merely lags asks nobody for a repair.
func TestStuckSays(t *testing.T) {
	var s stuck
	start := time.Now()
	for i, c := range []struct {
		after   time.Duration
		why     string
		damaged bool
		want    bool
	}{
		{0, "groups are missing", true, false},
		{damagedAfter - 1, "more groups are missing", true, false},
		{damagedAfter, "more groups are missing", true, true},
		{damagedAfter + 1, "more groups are missing", true, false},
		{2 * damagedAfter, "the clock is off", false, true},
		{3 * damagedAfter, "the clock is off", false, false},
		{4 * damagedAfter, "groups are missing", true, false},
		{5 * damagedAfter, "groups are missing", true, true},
	} {
		if got := s.says(c.why, c.damaged, start.Add(c.after)); got != c.want {
			t.Errorf("%d: %q after %v: %v", i, c.why, c.after, got)
		}
	}
}

// A node tells what it is however long the reason is why it does not own a cell, and logs that reason once.
func TestLongReason(t *testing.T) {
	s, made := newServer(t)
	m := joinWith(t, s, made, "n1", func(_ *member1, o *Options) {
		o.Able = func() error { return errors.New(strings.Repeat("\u20ac", 200)) }
	})
	await(t, "the board hears of it", func() bool {
		nodes := m.board.Nodes()
		return len(nodes) == 1 && len(nodes[0].Cells) == 1 && nodes[0].Cells[0].Why == strings.Repeat("\u20ac", 170)
	})
	if c := m.host.Status(); c.Role != board.Standby || m.board.Nodes()[0].Validate() != nil {
		t.Fatal(c)
	}
	if n := strings.Count(m.said.String(), "does not take it over"); n != 1 {
		t.Fatalf("it is logged %d times", n)
	}
}
