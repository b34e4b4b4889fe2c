package main_test

import (
	"fmt"
	"path/filepath"
	"time"

	commitlog "github.com/meterd/meterd/retention/log"
)

// span is from the first decided time in the copies of a cell to the last.
type span struct{ from, to time.Time }

// whole kills all nodes and looks at what they leave: each copy is what its own log says, by a recount; the three
// copies of a cell have one history, by the hash chain of their last common group; and decided times never go back.
func (c *trio) whole(cells int) (spans []span) {
	c.t.Helper()
	for _, n := range c.nodes {
		c.kill(n)
	}
	groups := uint64(0)
	for cell := range cells {
		var last uint64
		of := span{from: time.Now().Add(1e6 * time.Hour)}
		var logs []*commitlog.Log
		for i, n := range c.nodes {
			dir := filepath.Join(n.data, "cells", fmt.Sprintf("%02d", cell))
			verify(c.t, dir, 0, "no difference")
			l, err := commitlog.OpenReadOnly(filepath.Join(dir, "log"))
			if err != nil {
				c.t.Fatal(err)
			}
			defer l.Close()
			seq, _, _ := l.Last()
			if last = min(last, seq); i == 0 {
				last = seq
			}
			logs = append(logs, l)
			c.inOrder(n, cell, l, &of)
		}
		want, err := logs[0].ChainOf(last)
		if err != nil || last == 0 {
			c.t.Fatalf("cell %d: group %d of %s: %v", cell, last, c.nodes[0].name, err)
		}
		for i, l := range logs {
			if got, err := l.ChainOf(last); err != nil || got != want {
				c.t.Errorf("cell %d: group %d has chain %x at %s, %x at %s: %v", cell, last, want, c.nodes[0].name, got,
					c.nodes[i].name, err)
			}
		}
		groups += last
		spans = append(spans, of)
	}
	c.t.Logf("%d copies of %d cells: no difference to their logs; %d groups that all three have, of one chain each",
		cells*len(c.nodes), cells, groups)
	return spans
}

// inOrder reads all groups of a copy.
func (c *trio) inOrder(n *trioNode, cell int, l *commitlog.Log, of *span) {
	c.t.Helper()
	before := int64(0)
	err := l.Replay(l.First(), func(g *commitlog.Group) error {
		if g.FirstMs < before || g.LastMs < g.FirstMs {
			c.t.Errorf("cell %d of %s: group %d is of %d to %d, and behind one of %d", cell, n.name, g.Seq, g.FirstMs, g.LastMs,
				before)
		}
		before = g.LastMs
		if from := time.UnixMilli(g.FirstMs); from.Before(of.from) {
			of.from = from
		}
		if to := time.UnixMilli(g.LastMs); to.After(of.to) {
			of.to = to
		}
		return nil
	})
	if err != nil {
		c.t.Errorf("cell %d of %s: %v", cell, n.name, err)
	}
}
