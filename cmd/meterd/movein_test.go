package main_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/testport"
)

// A daemon that was alone becomes the first cell of a cluster: what it answered, counted, logged and sealed is there
// through every node, a retry of before gets its first answer, and it outlives the node that brought it.
func TestMoveIn(t *testing.T) {
	if testing.Short() {
		t.Skip("owners are waited for")
	}
	t.Parallel()
	d := newDaemon(t, "--checkpoint-every", "50ms")
	tr := newTraffic(d, seed(t))
	tr.pace = 5 * time.Millisecond
	tr.prepare()
	tr.begin()
	tr.answered(60)
	tr.wait()
	d.must("POST", "/v1/snapshots", `{}`, nil)
	d.withProduct("retried", `{"messages_per_day":9}`)
	d.batch(line("connect", "retried", "d1"), line("connect", "retried", "d2"))
	body := line("up", "retried", "d1") + "\n" + line("up", "retried", "d2")
	first := d.sequenced("retrier", "7", asNDJSON, body).fresh(t)
	views := []string{
		"/v1/accounts", "/v1/products", "/v1/products/plenty/licenses", "/v1/products/plenty/lots", "/v1/tokens",
		"/v1/products/plenty/devices?limit=1000", "/v1/snapshots", "/v1/audit?limit=1000",
		"/v1/usage?product=plenty&window=day&time_zone=" + url.QueryEscape(noon()), "/v1/products/plenty/logs?limit=1000",
		"/v1/products/retried/devices/d1", "/v1/products/retried/devices/d1/logs?limit=1000",
	}
	for _, dev := range pages[deviceView](d, "/v1/products/plenty/devices", "devices") {
		views = append(views, "/v1/products/plenty/devices/"+dev.Device+"/logs?limit=1000")
	}
	before := map[string]string{}
	for _, path := range views {
		before[path] = string(d.must("GET", path, "", nil).body)
	}
	d.stop()
	verify(t, d.data, 0, "no difference", "snapshots    1")

	c := &cluster{t: t}
	var routes []string
	for range 3 {
		routes = append(routes, testport.Free(t))
	}
	for i, route := range routes {
		data := filepath.Join(t.TempDir(), "data")
		if i == 0 {
			data = d.data
		}
		n := daemonAt(t, data, append([]string{
			"--cluster", "test", "--node", fmt.Sprintf("n%d", i+1), "--nats-listen", route,
			"--nats-routes", strings.Join(routes, ","), "--cells", "1",
		}, d.flags...)...)
		n.token = d.token
		n.http.Timeout = 20 * time.Second // Nobody is paused.
		c.nodes = append(c.nodes, n)
	}
	brings := c.nodes[0]
	want(t, brings.refused(), "is of a daemon that is alone", "--move-in")
	brings.flags = append(brings.flags, "--move-in")
	for _, n := range c.nodes {
		n.launch()
	}
	for _, n := range c.nodes {
		if err := n.awaitReady(); err != nil {
			t.Fatal(err)
		}
	}
	same := func(of string) {
		t.Helper()
		for i, path := range views {
			if got := string(c.anybody(i, "GET", path, "").body); got != before[path] {
				t.Errorf("%s %s is answered\n%s\nand was\n%s", of, path, got, before[path])
			}
		}
		a := c.anybody(1, "POST", "/v1/events", body, "Content-Type", asNDJSON,
			"Meterd-Producer", "retrier", "Meterd-Sequence", "7")
		a.replays(t, first)
	}
	same("moved in,")
	await(t, "the other nodes have a copy", func() bool {
		for _, n := range c.nodes[1:] {
			if !strings.Contains(n.run.said(), "directory was copied from its owner") {
				return false
			}
		}
		return true
	})
	c.standbys()
	brings.kill()
	c.nodes = c.nodes[1:]
	same("after the node's death,")
	tr.d = c.nodes[0]
	await(t, "somebody owns the cell", func() bool {
		a, err := c.nodes[0].try("GET", "/v1/accounts", nil)
		return err == nil && a.status == 200
	})
	tr.check()
	for _, n := range c.nodes {
		n.stop()
		verify(t, filepath.Join(n.data, "cells", "00"), 0, "no difference", "snapshots    1")
	}
	if _, err := os.Stat(filepath.Join(d.data, "VERSION")); err == nil {
		t.Error("a daemon that is alone would still take the directory")
	}
}

// standbys waits until two nodes are ready to own cell 0.
func (c *cluster) standbys() {
	c.t.Helper()
	await(c.t, "two standbys", func() bool {
		a := c.anybody(0, "GET", "/v1/cluster", "")
		return strings.Count(string(a.body), `"standby"`) >= 2
	})
}
