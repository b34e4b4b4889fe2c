package main_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meterd/meterd/bench/powercut"
	"github.com/meterd/meterd/bench/testport"
)

// powered is a cluster whose nodes lie on disks that can be cut.
type powered struct {
	*cluster
	lower []string // what survives, by node
	disks []*powercut.FS
}

// TestClusterPowerCut cuts the power of all three nodes at the same time, under traffic: their NATS servers and their
// own files keep what was synced, and an arbitrary part of the rest. Each time everything that was answered is counted
// and logged once.
func TestClusterPowerCut(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs FUSE, and minutes")
	}
	if err := powercut.Available(); err != nil {
		t.Fatalf("%v: run `make tools` (fuse3) on a machine with /dev/fuse, or leave this test out with -short", err)
	}
	t.Parallel()
	dice := newDice(seed(t), 0)
	p := &powered{cluster: &cluster{t: t}}
	var routes []string
	for range 3 {
		routes = append(routes, testport.Free(t))
		p.lower = append(p.lower, t.TempDir())
	}
	for i, route := range routes {
		d := daemonAt(t, "", "--cluster", "test", "--node", fmt.Sprintf("n%d", i+1), "--nats-listen", route,
			"--nats-routes", strings.Join(routes, ","), "--cells", "1", "--checkpoint-every", "100ms")
		d.http.Timeout = 3 * time.Second
		p.nodes = append(p.nodes, d)
	}
	p.start()
	await(t, "somebody owns cell 0", func() bool {
		for _, d := range p.nodes {
			if d.readToken() == nil && ownsCell0.MatchString(d.run.said()) {
				for _, other := range p.nodes {
					other.token = d.token
				}
				return true
			}
		}
		return false
	})
	for _, call := range [][2]string{
		{"/v1/accounts", `{"account":"p1","kind":"enterprise"}`},
		{
			"/v1/products",
			fmt.Sprintf(`{"product":"p1","account":"p1","time_zone":%q,"plan":{"messages_per_day":1000000}}`, noon()),
		},
		{"/v1/products/p1/lots", `{"order":"PO","quantity":10}`},
	} {
		p.make(0, call[0], call[1])
	}
	for i := range 10 {
		p.anybody(i, "POST", "/v1/events", line("connect", "p1", fmt.Sprintf("d%d", i)))
	}
	counted := map[string]int{}
	for cut := range 3 {
		p.under(t, fmt.Sprintf("power cut %d", cut+1), counted, func(answered func(int64)) {
			answered(30 + dice.Int64N(40))
			p.cut([]uint64{dice.Uint64() | 1, dice.Uint64() | 1, dice.Uint64() | 1})
			p.start()
		})
		if t.Failed() {
			for _, d := range p.nodes {
				t.Log(d.run.said())
			}
			return
		}
	}
}

// start mounts the disks and starts all nodes.
func (p *powered) start() {
	p.t.Helper()
	p.disks = nil
	for i, d := range p.nodes {
		f := powercut.MountT(p.t, p.lower[i], powercut.Options{})
		p.disks = append(p.disks, f)
		d.data = filepath.Join(f.Mountpoint(), "data")
		d.launch()
	}
	for _, d := range p.nodes {
		if err := d.awaitReady(); err != nil {
			p.t.Fatal(err)
		}
	}
}

// cut takes all disks away at once, and then the processes.
func (p *powered) cut(seeds []uint64) {
	p.t.Helper()
	var all sync.WaitGroup
	for i, f := range p.disks {
		all.Go(func() {
			if err := f.CutKeeping(seeds[i]); err != nil {
				p.t.Error(err)
			}
		})
	}
	all.Wait()
	for _, d := range p.nodes {
		d.kill()
	}
}
