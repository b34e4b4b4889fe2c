package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForgetTwo takes a minute. Set METERD_TEST_FORGET. Of five nodes two die for good, and no cell has replicas on
// both: they are forgotten one after the other, each cell has three replicas then, and the death of one more stops
// nothing. Their directories are refused. What was answered is counted and logged once.
func TestForgetTwo(t *testing.T) {
	if os.Getenv("METERD_TEST_FORGET") == "" {
		t.Skip("it takes a minute: set METERD_TEST_FORGET")
	}
	c := newCluster(t, "--cells", "2")
	c.twoProducts()
	n1, n2, n3 := c.nodes[0], c.nodes[1], c.nodes[2]
	n4, n5 := c.join("n4"), c.join("n5")
	c.nodes = append(c.nodes, n4, n5)
	counted := map[string]int{}
	c.under(t, "two of five die", counted, func(answered func(int64)) {
		n3.kill()
		n4.kill()
		c.nodes = []*daemon{n1, n2, n5}
		await(t, "both are silent", func() bool {
			rows := c.rows(n1)
			return strings.Contains(rows, "{n3 silent}") && strings.Contains(rows, "{n4 silent}")
		})
		want(t, n1.ctl("cluster", "forget", "n4"), "2 cells have a replica on another server that is dead")
		want(t, n1.ctl("cluster", "forget", "n3"), "all cells have their replicas again")
		c.replicas(n1, 2)
		answered(20)
	})
	for name, d := range map[string]*daemon{"n3": n3, "n4": n4} {
		c.refusesDir(name, d.data, "was removed")
	}
	c.under(t, "one more dies", counted, func(answered func(int64)) {
		n1.kill()
		answered(40)
		n1.start()
	})
	c.replicas(n2, 2)
	for _, d := range c.nodes {
		d.stop()
		for _, cell := range []string{"00", "01"} {
			verify(t, filepath.Join(d.data, "cells", cell), 0, "no difference")
		}
	}
}
