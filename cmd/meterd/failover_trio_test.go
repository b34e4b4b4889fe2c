package main_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/testport"
)

// trio is three nodes of a cluster: real processes, each in a network namespace of its own if this machine allows that.
//
//	gateways ── bridge ──┬── veth ─ namespace of n1: meterd, its NATS server
//	                     ├── veth ─ … n2
//	                     └── veth ─ … n3
type trio struct {
	t       testing.TB
	bridge  string // "" without namespaces
	nodes   []*trioNode
	http    *http.Client
	token   string
	closing chan struct{}
}

// trioNode is one of them. A process that ends by itself is started again, as a supervisor does.
type trioNode struct {
	name, address, nats string
	data                string
	space               string // its namespace
	command, env        []string

	mu     sync.Mutex
	run    *run
	isHeld bool // it is down because the test wants so
	ended  []string
	// earlier is what processes said that have ended
	earlier string
}

const (
	// restartIn is how long a supervisor waits.
	restartIn = 300 * time.Millisecond
	// lagMax is how many groups a copy may be behind that follows: positions are told once a second.
	lagMax = 2000
	// saidMax is how many lines of a node are shown.
	saidMax = 40
)

// newTrio starts the nodes and returns when they answer.
func newTrio(t *testing.T, flags ...string) *trio {
	t.Helper()
	c := makeTrio(t, program, flags...)
	c.begin()
	return c
}

// makeTrio returns nodes that begin starts.
func makeTrio(t *testing.T, program string, flags ...string) *trio {
	t.Helper()
	needsBinary(t)
	c := &trio{
		t: t, closing: make(chan struct{}),
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}, Timeout: patience},
	}
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(rand.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	hosts := c.network()
	var routes []string
	for i, host := range hosts {
		n := &trioNode{name: fmt.Sprint("n", i+1), data: filepath.Join(dir, fmt.Sprint("n", i+1))}
		if c.bridge != "" {
			n.space, n.address, n.nats = fmt.Sprint(c.bridge, "n", i+1), host+":8480", host+":6222"
		} else {
			n.address, n.nats = testport.Free(t), testport.Free(t)
		}
		routes = append(routes, n.nats)
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if n.space != "" {
			n.command = []string{"ip", "netns", "exec", n.space}
		}
		n.command = append(n.command, program, "serve", "--data", n.data, "--listen", n.address, "--insecure",
			"--cluster", "trio", "--node", n.name, "--nats-listen", n.nats, "--nats-routes", strings.Join(routes, ","),
			"--nats-secret-file", secret)
		n.command = append(n.command, flags...)
	}
	t.Cleanup(c.close)
	return c
}

// begin starts the nodes and returns when they answer.
func (c *trio) begin() {
	c.t.Helper()
	for _, n := range c.nodes {
		c.start(n)
	}
	await(c.t, "the cluster has an owner", func() bool { return c.owner() != nil })
	await(c.t, "a node has the administrator's token", func() bool {
		for _, n := range c.nodes {
			if secret, err := os.ReadFile(filepath.Join(n.data, "admin.token")); err == nil && len(secret) > 0 {
				c.token = strings.TrimSpace(string(secret))
			}
		}
		return c.token != ""
	})
}

// network makes the namespaces and returns the nodes' addresses: those of the loopback device where it must not.
func (c *trio) network() []string {
	bridge := fmt.Sprintf("mtd%d", os.Getpid()%1_000_000)
	subnet := fmt.Sprintf("10.%d.%d.", 64+os.Getpid()%64, os.Getpid()/64%256)
	loopback := []string{"127.0.0.1", "127.0.0.1", "127.0.0.1"}
	if os.Geteuid() != 0 || c.ip("link", "add", bridge, "type", "bridge") != nil {
		c.t.Log("no network namespaces here: nothing is cut")
		return loopback
	}
	c.bridge = bridge
	var hosts []string
	must := func(args ...string) {
		c.t.Helper()
		if err := c.ip(args...); err != nil {
			c.t.Fatal(err)
		}
	}
	c.t.Cleanup(func() { _ = c.ip("link", "del", bridge) })
	must("addr", "add", subnet+"1/24", "dev", bridge)
	must("link", "set", bridge, "up")
	for i := range 3 {
		space := fmt.Sprint(bridge, "n", i+1)
		must("netns", "add", space)
		c.t.Cleanup(func() { _ = c.ip("netns", "del", space) })
		must("link", "add", space, "type", "veth", "peer", "name", "eth0", "netns", space)
		must("link", "set", space, "master", bridge, "up")
		host := fmt.Sprint(subnet, 11+i)
		must("-n", space, "addr", "add", host+"/24", "dev", "eth0")
		must("-n", space, "link", "set", "eth0", "up")
		must("-n", space, "link", "set", "lo", "up")
		hosts = append(hosts, host)
	}
	return hosts
}

func (c *trio) ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// cut takes a node off the network, join puts it back.
func (c *trio) cut(n *trioNode)  { c.set(n, "down") }
func (c *trio) join(n *trioNode) { c.set(n, "up") }

func (c *trio) set(n *trioNode, state string) {
	c.t.Helper()
	if err := c.ip("link", "set", n.space, state); err != nil {
		c.t.Fatal(err)
	}
}

// separate cuts a node off the other nodes only: gateways reach it. reunite ends that.
func (c *trio) separate(n *trioNode) { c.route(n, "add") }
func (c *trio) reunite(n *trioNode)  { c.route(n, "del") }

func (c *trio) route(n *trioNode, do string) {
	c.t.Helper()
	for _, other := range c.nodes {
		host, _, err := net.SplitHostPort(other.address)
		if err != nil {
			c.t.Fatal(err)
		}
		if other == n {
			continue
		}
		if err := c.ip("-n", n.space, "route", do, "blackhole", host+"/32"); err != nil {
			c.t.Fatal(err)
		}
	}
}

// start launches a node and keeps it running.
func (c *trio) start(n *trioNode) {
	c.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.isHeld = false
	r, err := launchCommand(n.env, n.command...)
	if err != nil {
		c.t.Fatal(err)
	}
	if n.run != nil {
		n.earlier += n.run.said()
	}
	n.run = r
	go c.supervise(n, r)
}

func (c *trio) supervise(n *trioNode, r *run) {
	select {
	case <-c.closing:
		return
	case <-r.exited:
	}
	n.mu.Lock()
	isHeld := n.isHeld
	if !isHeld {
		n.ended = append(n.ended, lastLines(r.said(), 3))
	}
	n.mu.Unlock()
	if isHeld {
		return
	}
	select {
	case <-time.After(restartIn):
		c.start(n)
	case <-c.closing:
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kill is SIGKILL, until start.
func (c *trio) kill(n *trioNode) {
	n.mu.Lock()
	n.isHeld = true
	r := n.run
	n.mu.Unlock()
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.t.Errorf("kill %s: %v", n.name, err)
	}
	<-r.exited
}

func (c *trio) signal(n *trioNode, s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.run.cmd.Process.Signal(s); err != nil {
		c.t.Errorf("signal %s: %v", n.name, err)
	}
}

func (c *trio) close() {
	close(c.closing)
	for _, n := range c.nodes {
		if n.run != nil {
			c.kill(n)
		}
		if c.t.Failed() {
			c.t.Logf("%s said last:\n%s", n.name, lastLines(n.run.said(), 15))
		}
	}
	c.http.CloseIdleConnections()
}

// url is the list for gateways.
func (c *trio) url() string {
	var list []string
	for _, n := range c.nodes {
		list = append(list, "http://"+n.address)
	}
	return strings.Join(list, ",")
}

// try asks one node.
func (c *trio) try(n *trioNode, within time.Duration, method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequest(method, "http://"+n.address+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return answer{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", asJSON)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	short := *c.http
	short.Timeout = within
	resp, err := short.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}

// must asks one node after the other until one of them answers with success, or says that what v is not to be told of
// is there: an answer may have been lost.
func (c *trio) must(method, path, body string, v any) {
	c.t.Helper()
	isRepeated := false
	await(c.t, method+" "+path+" succeeds", func() bool {
		for _, n := range c.nodes {
			a, err := c.try(n, 5*time.Second, method, path, body)
			switch {
			case err != nil:
				isRepeated = true
			case a.status/100 == 2:
				a.into(c.t, v)
				return true
			case a.status == http.StatusConflict && isRepeated && v == nil:
				return true
			case a.status/100 == 4:
				c.t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
		return false
	})
}

// owner returns the node that owns cell 0 by what the nodes have said; nil before anybody does.
func (c *trio) owner() (owner *trioNode) {
	newest := ""
	for _, n := range c.nodes {
		n.mu.Lock()
		said := ownsCell0.FindAllStringSubmatch(n.earlier+n.run.said(), -1)
		n.mu.Unlock()
		if len(said) > 0 && said[len(said)-1][1] > newest {
			owner, newest = n, said[len(said)-1][1]
		}
	}
	return owner
}

// isSettled reports whether each cell has an owner, and all nodes follow it.
func (c *trio) isSettled() bool {
	for _, n := range c.nodes {
		a, err := c.try(n, 2*time.Second, "GET", "/v1/cluster", "")
		if err != nil || a.status != http.StatusOK {
			return false
		}
		var m struct {
			Cells []struct {
				Owner    string
				Replicas []struct {
					Role      string
					LagGroups uint64 `json:"lag_groups"`
				}
			}
		}
		a.into(c.t, &m)
		for _, cell := range m.Cells {
			if cell.Owner == "" || len(cell.Replicas) != len(c.nodes) {
				return false
			}
			for _, r := range cell.Replicas {
				if r.Role != "owner" && r.Role != "standby" || r.LagGroups > lagMax {
					return false
				}
			}
		}
	}
	return true
}

// said returns what a node has said since an instant, of all its processes.
func (n *trioNode) said(since time.Time) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []string
	for line := range strings.SplitSeq(n.earlier+n.run.said(), "\n") {
		at, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		if when, err := time.Parse(time.RFC3339Nano, at); err == nil && when.Before(since) || rest == "" {
			continue
		}
		list = append(list, "  "+line)
	}
	return strings.Join(list[max(0, len(list)-saidMax):], "\n")
}
