package main_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/client"
)

// trial is three nodes whose clocks can be moved if they are built for it, and gateways.
type trial struct {
	*failover
	n1, n2, n3 *trioNode
	cells      int
	names      []string // products
	all        []*client.Client
	load       *load
	cycles     int
}

const trialLimit = 200

func newTrial(t *testing.T, program string, cells int, ahead [3]time.Duration, env ...string) *trial {
	t.Helper()
	c := &trial{
		failover: &failover{trio: makeTrio(t, program, "--cells", fmt.Sprint(cells)), dice: newDice(seed(t), 0)},
		cells:    cells,
	}
	c.n1, c.n2, c.n3 = c.nodes[0], c.nodes[1], c.nodes[2]
	for i, n := range c.nodes {
		n.env = append([]string{"METERD_TEST_CLOCK=" + n.clock()}, env...)
		c.setClock(n, ahead[i])
	}
	c.begin()
	c.names = c.products(cells, trialLimit)
	c.all = c.gateways()
	await(t, "all nodes follow", c.isSettled)
	return c
}

func (n *trioNode) clock() string { return n.data + ".clock" }

// setClock moves a node's clock, also of a process that runs.
func (c *trial) setClock(n *trioNode, ahead time.Duration) {
	c.t.Helper()
	f, err := os.OpenFile(n.clock(), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(binary.NativeEndian.AppendUint64(nil, uint64(ahead))); err != nil {
		c.t.Fatal(err)
	}
}

// under has gateways send and read while something happens, and holds what they were told against what is counted.
func (c *trial) under(what string, do func()) {
	c.t.Helper()
	c.cycles++
	c.load = newLoad(c.trio, c.all, c.names, trialLimit, c.cycles)
	c.load.begin(c.all, func() *rand.Rand { return newDice(c.dice.Uint64(), 1) })
	c.load.answered(100)
	at := time.Since(c.load.began)
	do()
	c.load.answered(100)
	c.load.end()
	c.t.Logf("%s: nobody was answered for %v; %+v", what, c.load.gap(at, "").Round(time.Millisecond), c.load.check(c.t))
}

// killed kills a node, awaits that others go on, and starts it again.
func (c *trial) killed(n *trioNode) {
	c.t.Helper()
	c.kill(n)
	c.load.answered(100)
	c.start(n)
	await(c.t, n.name+" is back, and all follow", c.isSettled)
}

// owners returns who owns each cell, as a node has heard it.
func (c *trial) owners(asked *trioNode) (list []string) {
	c.t.Helper()
	a, err := c.try(asked, 5*time.Second, "GET", "/v1/cluster", "")
	if err != nil || a.status != http.StatusOK {
		c.t.Fatalf("%s answers %d %s: %v", asked.name, a.status, a.body, err)
	}
	var m struct{ Cells []struct{ Owner string } }
	a.into(c.t, &m)
	for _, cell := range m.Cells {
		list = append(list, cell.Owner)
	}
	return list
}

// asks asks a node for an administrator's call and wants its status.
func (c *trial) asks(n *trioNode, status int, path, body, word string) {
	c.t.Helper()
	a, err := c.try(n, 10*time.Second, "POST", path, body)
	if err != nil || a.status != status || !strings.Contains(string(a.body), word) {
		c.t.Errorf("POST %s at %s: %d %s %v; %d with %q is meant", path, n.name, a.status, a.body, err, status, word)
	}
}

// moves moves all cells to a node.
func (c *trial) moves(to *trioNode) {
	c.t.Helper()
	for cell := range c.cells {
		await(c.t, fmt.Sprintf("cell %d is moved to %s", cell, to.name), func() bool {
			if c.owners(to)[cell] == to.name {
				return true
			}
			_, _ = c.try(to, 10*time.Second, "POST", fmt.Sprintf("/v1/cluster/cells/%d/move", cell),
				fmt.Sprintf(`{"node":%q}`, to.name)) // It is asked again: the other node may not be ready.
			return false
		})
	}
}
