package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/testport"
)

// cluster is three nodes on this machine.
type cluster struct {
	t     *testing.T
	nodes []*daemon
	// askers is how many there were: each is another producer.
	askers int
}

// newCluster starts three nodes, and returns when the administrator's token is there.
func newCluster(t *testing.T, flags ...string) *cluster {
	t.Helper()
	c := &cluster{t: t}
	var routes []string
	for range 3 {
		routes = append(routes, testport.Free(t))
	}
	for i, route := range routes {
		d := daemonAt(t, filepath.Join(t.TempDir(), "data"), append([]string{
			"--cluster", "test", "--node", fmt.Sprintf("n%d", i+1), "--nats-listen", route,
			"--nats-routes", strings.Join(routes, ","),
		}, flags...)...)
		d.http.Timeout = 3 * time.Second // A paused process takes connections, and answers nothing.
		c.nodes = append(c.nodes, d)
		d.launch()
	}
	for _, d := range c.nodes {
		if err := d.awaitReady(); err != nil {
			t.Fatal(err)
		}
	}
	var token string
	await(t, "somebody owns cell 0", func() bool {
		for _, d := range c.nodes {
			if d.readToken() == nil && ownsCell0.MatchString(d.run.said()) {
				token = d.token
			}
		}
		return token != ""
	})
	for _, d := range c.nodes {
		d.token = token
	}
	return c
}

var ownsCell0 = regexp.MustCompile(`time=(\S+) .*this node owns the cell" cell=0 epoch=(\d+)`)

// owner returns the node that owns cell 0, and the epoch, by what the nodes have said.
func (c *cluster) owner() (owner *daemon, epoch string) {
	c.t.Helper()
	newest := ""
	for _, d := range c.nodes {
		for _, m := range ownsCell0.FindAllStringSubmatch(d.run.said(), -1) {
			if m[1] > newest {
				newest, owner, epoch = m[1], d, m[2]
			}
		}
	}
	if owner == nil {
		c.t.Fatal("nobody owns cell 0")
	}
	return owner, epoch
}

// anybody asks the nodes in turn until one answers with what is no 503.
func (c *cluster) anybody(first int, method, path, body string, header ...string) answer {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	isRepeated := false
	for i := first; time.Now().Before(deadline) && c.t.Context().Err() == nil; i++ {
		a, err := c.nodes[i%len(c.nodes)].try(method, path, []byte(body), header...)
		if err == nil && a.status != http.StatusServiceUnavailable {
			a.isRepeated = isRepeated
			return a
		}
		isRepeated = isRepeated || err != nil
		tick := time.NewTimer(pollEvery)
		<-tick.C
	}
	if c.t.Context().Err() == nil {
		c.t.Errorf("%s %s: nobody answers for %v", method, path, patience)
	}
	return answer{}
}

// asker is a gateway: it sends batches under sequences, and sends each one again, through all nodes in turn, until it
// is answered.
type asker struct {
	c      *cluster
	number int
	sent   map[string]int // messages that were accepted, by device
	last   time.Time
	gap    time.Duration // the longest time without an answer
}

func (g *asker) run(ctx context.Context, answers *atomic.Int64) {
	g.last = time.Now()
	for seq := 1; ctx.Err() == nil; seq++ {
		var lines []string
		for i := range 20 {
			lines = append(lines, line("up", product(i), fmt.Sprintf("d%d", (seq+i+g.number)%10)))
		}
		a := g.c.anybody(g.number+seq, "POST", "/v1/events", strings.Join(lines, "\n"), "Content-Type", asNDJSON,
			"Meterd-Producer", fmt.Sprintf("gw-%d", g.number), "Meterd-Sequence", fmt.Sprint(seq))
		if g.c.t.Context().Err() != nil {
			return // The test was given up.
		}
		codes, err := a.verdicts(len(lines))
		if a.status != http.StatusOK || err != nil {
			g.c.t.Errorf("sequence %d: %d %s: %v", seq, a.status, a.body, err)
			return
		}
		for i, code := range codes {
			if code == "accepted" {
				g.sent[fmt.Sprintf("%s/devices/d%d", product(i), (seq+i+g.number)%10)]++
			}
		}
		answers.Add(1)
		g.gap = max(g.gap, time.Since(g.last))
		g.last = time.Now()
	}
}

// move has a node own cell 0.
func (c *cluster) move(to int) {
	c.t.Helper()
	await(c.t, "the cell is moved", func() bool { // It is asked again: the other node may not follow yet.
		_, err := c.nodes[to].try("POST", "/v1/cluster/cells/0/move", fmt.Appendf(nil, `{"node":"n%d"}`, to+1))
		owner, _ := c.owner()
		return err == nil && owner == c.nodes[to]
	})
}

// isStandby reports whether a node says that it follows cell 0: it was deposed, or had handed the cell over by itself
// to the node that is first in line for it.
func (d *daemon) isStandby() bool {
	a, err := d.try("GET", "/metrics", nil)
	return err == nil && strings.Contains(string(a.body), `meterd_cluster_cell_role{cell="0",role="standby"} 1`+"\n")
}

// product is the one of the i-th event of each batch: of two accounts, which lie in two cells.
func product(i int) string { return fmt.Sprintf("p%d", i%3/2+1) }

// under runs fn under the traffic of four gateways, and compares what was answered with what is counted and logged.
func (c *cluster) under(t *testing.T, phase string, counted map[string]int, fn func(answered func(n int64))) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var answers atomic.Int64
	var running sync.WaitGroup
	var askers []*asker
	for range 4 {
		c.askers++
		g := &asker{c: c, number: c.askers, sent: map[string]int{}}
		askers = append(askers, g)
		running.Go(func() { g.run(ctx, &answers) })
	}
	t.Cleanup(running.Wait) // Of a test that was given up.
	answered := func(n int64) {
		from := answers.Load()
		await(t, phase+": requests are answered", func() bool { return answers.Load() >= from+n || t.Failed() })
	}
	answered(20)
	fn(answered)
	answered(20)
	stop()
	running.Wait()
	gap := time.Duration(0)
	for _, g := range askers {
		gap = max(gap, g.gap)
		for device, n := range g.sent {
			counted[device] += n
		}
	}
	t.Logf("%s: %d requests, the longest without an answer took %v", phase, answers.Load(), gap)
	for device, want := range counted {
		var v deviceView
		c.anybody(0, "GET", "/v1/products/"+device, "").into(t, &v)
		if got := int(v.Messages.Up); got != want {
			t.Errorf("%s: %d messages of %s were answered, %d are counted", phase, want, device, got)
		}
		a := c.anybody(1, "GET", "/v1/products/"+device+"/logs", "", "Accept", asNDJSON)
		if got := strings.Count(string(a.body), `"type":"up"`); got != want {
			t.Errorf("%s: %d messages of %s were answered, %d are logged", phase, want, device, got)
		}
	}
}

// twoProducts makes two products with ten devices each, in two accounts.
func (c *cluster) twoProducts() {
	c.t.Helper()
	for _, name := range []string{"p1", "p2"} {
		for _, call := range [][2]string{
			{"/v1/accounts", fmt.Sprintf(`{"account":%q,"kind":"enterprise"}`, name)},
			{
				"/v1/products",
				fmt.Sprintf(`{"product":%q,"account":%[1]q,"time_zone":%[2]q,"plan":{"messages_per_day":1000000}}`, name, noon()),
			},
			{"/v1/products/" + name + "/lots", `{"order":"PO","quantity":10}`},
		} {
			c.make(0, call[0], call[1])
		}
		for i := range 10 {
			c.anybody(i, "POST", "/v1/events", line("connect", name, fmt.Sprintf("d%d", i)))
		}
	}
}

// Whatever happens to owners, what was answered is counted and logged once, and the answer to a sequence stays.
func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("owners are waited for, several times")
	}
	t.Parallel()
	c := newCluster(t, "--cells", "2")
	owner, _ := c.owner()
	c.twoProducts()
	counted := map[string]int{}
	c.under(t, "told to end", counted, func(answered func(int64)) {
		await(t, "the owner knows whom to hand over to", func() bool {
			owner, _ = c.owner()
			a, err := owner.try("GET", "/v1/cluster", nil)
			return err == nil && strings.Count(string(a.body), `"standby"`) == 4 // Two of each cell.
		})
		owner.stop()
		want(t, owner.run.said(), "handing the cell over")
		answered(40)
		owner.start()
	})
	c.under(t, "moved", counted, func(answered func(int64)) {
		owner, _ = c.owner()
		to := 0
		if c.nodes[to] == owner {
			to = 1
		}
		c.move(to)
		answered(40)
	})
	c.under(t, "killed", counted, func(answered func(int64)) {
		owner, _ = c.owner()
		owner.kill()
		answered(40)
		owner.start()
	})
	c.under(t, "paused", counted, func(answered func(int64)) {
		var epoch string
		owner, epoch = c.owner()
		owner.signal(syscall.SIGSTOP)
		await(t, "another node owns the cell", func() bool { _, now := c.owner(); return now != epoch })
		answered(20)
		owner.signal(syscall.SIGCONT)
		await(t, "the owner of before follows", func() bool {
			return strings.Contains(owner.run.said(), "this node owns the cell no longer") || owner.isStandby()
		})
		answered(20)
		if !owner.run.alive() {
			t.Errorf("a deposed owner ended:\n%s", owner.run.said())
		}
	})
	c.under(t, "all killed", counted, func(func(int64)) {
		for _, d := range c.nodes {
			d.kill()
		}
		for _, d := range c.nodes {
			d.launch()
		}
		for _, d := range c.nodes {
			if err := d.awaitReady(); err != nil {
				t.Error(err)
			}
		}
	})
	c.refuses()
	for _, d := range c.nodes {
		d.stop()
	}
}

// refuses starts a node as what it is not.
func (c *cluster) refuses() {
	c.t.Helper()
	d := c.nodes[0]
	d.stop()
	flags := d.flags
	d.flags = append(slices.Clone(flags), "--cells", "3")
	want(c.t, d.refused(), "made with --cells 2, which is for ever")
	d.flags = append(slices.Clone(flags), "--replicas", "1")
	want(c.t, d.refused(), "made with --replicas 3, which is for ever")
	for _, other := range [][]string{{"--node", "n9"}, {"--cluster", "other"}} {
		d.flags = append(slices.Clone(flags), other...)
		want(c.t, d.refused(), `is that of node "n1" of cluster "test"`)
	}
	d.flags = nil
	want(c.t, d.refused(), "is a node's of a cluster: start it with --cluster")
	single := newDaemon(c.t)
	single.stop()
	single.flags = flags
	want(c.t, single.refused(), "is of a daemon that is alone")
	if _, err := os.Stat(filepath.Join(single.data, "NODE")); err == nil {
		c.t.Error("a daemon's directory became a node's")
	}
	d.flags = flags
	d.start()
}
