package main_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/testport"
)

// routesOf returns the addresses of the nodes' servers.
func (c *cluster) routesOf() []string {
	for i, flag := range c.nodes[0].flags {
		if flag == "--nats-routes" {
			return strings.Split(c.nodes[0].flags[i+1], ",")
		}
	}
	return nil
}

// join starts another node, which knows all others.
func (c *cluster) join(name string) *daemon {
	c.t.Helper()
	d := c.nodeAt(name, filepath.Join(c.t.TempDir(), "data"))
	d.launch()
	if err := d.awaitReady(); err != nil {
		c.t.Fatal(err)
	}
	return d
}

// empty takes a node's disk away, as it is, and starts the node on another one. It returns where the old one is.
func (c *cluster) empty(d *daemon) (old string) {
	c.t.Helper()
	d.kill()
	old = d.data + ".old"
	if err := os.Rename(d.data, old); err != nil {
		c.t.Fatal(err)
	}
	d.launch()
	if err := d.awaitReady(); err != nil {
		c.t.Fatal(err)
	}
	return old
}

// forget has a node forgotten through another one, and returns what that says.
func (c *cluster) forget(through *daemon, node string) (status int, said string) {
	c.t.Helper()
	through.http.Timeout = patience // The node takes two minutes at the most.
	defer func() { through.http.Timeout = 3 * time.Second }()
	a, err := through.try(http.MethodPost, "/v1/cluster/nodes/"+node+"/forget", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return a.status, string(a.body)
}

// refusesDir starts a node on a directory that was forgotten, at another address, beside the one that took its place.
// It ends before it is ready, or when it is heard, if the others were too slow to say what they know.
func (c *cluster) refusesDir(name, dir, why string) {
	c.t.Helper()
	d := c.nodeAt(name, dir)
	d.launch()
	d.awaitExit(1)
	want(c.t, d.run.said(), "this node was forgotten", why)
}

// nodeAt returns a node that knows all others, and is not started.
func (c *cluster) nodeAt(name, dir string) *daemon {
	c.t.Helper()
	own := testport.Free(c.t)
	d := daemonAt(c.t, dir, "--cluster", "test", "--node", name, "--nats-listen", own, "--nats-routes",
		strings.Join(append(c.routesOf(), own), ","))
	d.http.Timeout, d.token = 3*time.Second, c.nodes[0].token
	return d
}

// rows returns the nodes that a node shows.
func (c *cluster) rows(through *daemon) string {
	var m struct {
		Nodes []struct{ Node, State string }
	}
	c.t.Helper()
	await(c.t, "a node shows the cluster", func() bool {
		a, err := through.try(http.MethodGet, "/v1/cluster", nil)
		if err != nil || a.status != http.StatusOK {
			return false
		}
		a.into(c.t, &m)
		return true
	})
	return fmt.Sprint(m.Nodes)
}

// A node that never comes back is forgotten: its server and its row are gone, its directory is refused, and a new node
// takes its place.
func TestForget(t *testing.T) {
	if testing.Short() {
		t.Skip("a node is waited for until it is silent")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "1")
	c.standbys()
	n1, n3 := c.nodes[0], c.nodes[2]
	for node, why := range map[string]string{
		"n9": "there is no node", "n2": "stop it first", "!": "is no name of a node",
	} {
		if status, said := c.forget(n1, node); status != 409 || !strings.Contains(said, why) {
			t.Errorf("%s: %d %s", node, status, said)
		}
	}
	n3.stop()
	c.nodes = c.nodes[:2]
	await(t, "n3 is silent", func() bool { return strings.Contains(c.rows(n1), "{n3 silent}") })
	c.failsToForget(n1, c.nodes[1], n3)
	want(t, n1.ctl("cluster", "forget", "n3"), "1 cells have a replica too few")
	for _, d := range c.nodes {
		if rows := c.rows(d); strings.Contains(rows, "n3") {
			t.Errorf("a node that was forgotten is shown: %s", rows)
		}
	}
	c.refusesDir("n3", n3.data, "was removed")
	c.join("n4")
	await(t, "n4 has a copy", func() bool { return strings.Contains(c.rows(n1), "{n4 ready}") })
	c.make(0, "/v1/accounts", `{"account":"acme","kind":"enterprise"}`)
}

// failsToForget has a node forgotten that another one cannot write down: it stays one that is to be removed.
func (c *cluster) failsToForget(through, full, gone *daemon) {
	c.t.Helper()
	path := filepath.Join(full.data, "positions")
	if err := errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Join(path, "in the way"), 0o700)); err != nil {
		c.t.Fatal(err)
	}
	if status, said := c.forget(through, "n3"); status == http.StatusOK {
		c.t.Errorf("a node is forgotten that not all have written down: %s", said)
	}
	c.refusesDir("n3", gone.data, "is being removed")
	if err := os.RemoveAll(path); err != nil {
		c.t.Fatal(err)
	}
}

// replicas waits until each cell's stream has three current replicas, as a node sees it.
func (c *cluster) replicas(through *daemon, cells int) {
	c.t.Helper()
	for range 3 { // It is looked at every ten seconds only.
		ok := true
		for cell := range cells {
			ok = ok && through.awaits(fmt.Sprintf(`meterd_cluster_replicas_missing{cell="%d"} 0`, cell))
		}
		if ok {
			return
		}
	}
	c.t.Fatal("a stream has no three replicas")
}

// awaits waits for a line of the metrics.
func (d *daemon) awaits(line string) bool {
	return within(func() bool {
		a, err := d.try(http.MethodGet, "/metrics", nil)
		return err == nil && strings.Contains(string(a.body), line)
	})
}

// says waits for words in the log.
func (d *daemon) says(words string) bool {
	return within(func() bool { return strings.Contains(d.run.said(), words) })
}

// within reports whether something becomes true in time.
func within(is func() bool) bool {
	for until := time.Now().Add(patience); time.Now().Before(until); {
		if is() {
			return true
		}
		tick := time.NewTimer(pollEvery)
		<-tick.C
	}
	return false
}

// stands sends events to those nodes for 15 s, none of which may be answered.
func (c *cluster) stands(nodes ...*daemon) {
	c.t.Helper()
	for until := time.Now().Add(15 * time.Second); time.Now().Before(until); {
		for _, d := range nodes {
			for _, product := range []string{"p1", "p2"} {
				a, err := d.try("POST", "/v1/events", []byte(line("up", product, "other")))
				if err == nil && a.status == http.StatusOK {
					c.t.Fatalf("an event is answered without a majority: %s", a.body)
				}
			}
		}
	}
}

// TestForgetUnderLoad takes minutes. Set METERD_TEST_FORGET. The disk of n2 is emptied: until its old server is
// forgotten, which n2 does by itself, the death of another node stops all cells, and afterwards it does not. Then n3
// dies for good and n4 takes its place, and n1 dies. What was answered is counted and logged once.
func TestForgetUnderLoad(t *testing.T) {
	if os.Getenv("METERD_TEST_FORGET") == "" {
		t.Skip("it takes minutes: set METERD_TEST_FORGET")
	}
	c := newCluster(t, "--cells", "2")
	c.twoProducts()
	n1, n2, n3 := c.nodes[0], c.nodes[1], c.nodes[2]
	counted := map[string]int{}
	old := ""
	c.under(t, "emptied", counted, func(answered func(int64)) {
		old = c.empty(n2)
		n3.kill()
		c.stands(n1, n2)
		n3.launch()
		if err := n3.awaitReady(); err != nil {
			t.Fatal(err)
		}
		answered(20)
		forgotten := false
		for range 3 { // Half a minute, and whatever the machine takes for the copies.
			forgotten = forgotten || n2.says("all cells have their replicas again")
		}
		if !forgotten {
			t.Errorf("n2 does not have its old server forgotten:\n%s", n2.run.said())
		}
		c.replicas(n1, 2)
		n3.kill()
		answered(40)
		n3.start()
	})
	c.refusesDir("n2", old, "was removed")
	c.under(t, "gone", counted, func(answered func(int64)) {
		c.replicas(n1, 2)
		n3.signal(syscall.SIGSTOP) // Nobody can tell that from death.
		await(t, "n3 is silent", func() bool { return strings.Contains(c.rows(n1), "{n3 silent}") })
		if status, said := c.forget(n1, "n3"); status != 200 || !strings.Contains(said, "2 cells have a replica too few") {
			t.Errorf("%d %s", status, said)
		}
		answered(40)
	})
	n3.signal(syscall.SIGCONT)
	n3.awaitExit(1)
	want(t, n3.run.said(), "this node was forgotten")
	c.nodes = []*daemon{n1, n2, c.join("n4")}
	c.refusesDir("n3", n3.data, "was removed")
	c.under(t, "replaced", counted, func(answered func(int64)) {
		c.replicas(n2, 2)
		n1.kill()
		answered(40)
	})
}
