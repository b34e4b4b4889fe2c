package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meterd/meterd/client"
)

// nodes is a cluster that bench starts on this machine: fresh nodes, and in each cell an account with a fleet.
type nodes struct {
	o       *Options
	folder  string
	daemons []*daemon
	admin   admin // at the door of the first node
	token   string
	cells   []*target // by cell; their addresses are those of the owners
}

// clusterMap is what GET /v1/cluster says and scenarios need.
type clusterMap struct {
	Cell  *int         `json:"cell"`
	Cells []mappedCell `json:"cells"`
}

// mappedCell is a cell of it, by its number.
type mappedCell struct {
	Owner    string `json:"owner"`
	Address  string `json:"address"`
	Replicas []struct {
		LagGroups uint64 `json:"lag_groups"`
	} `json:"replicas"`
}

// startNodes starts a cluster and makes an account in each cell. close must be called, after an error, too.
func startNodes(ctx context.Context, o *Options) (*nodes, error) {
	n := &nodes{o: o, cells: make([]*target, clusterCells)}
	dir, err := realDirectory(o.Dir)
	if err != nil {
		return n, err
	}
	if n.folder, err = os.MkdirTemp(dir, "meterd-bench-cluster-"); err != nil {
		return n, fmt.Errorf("data directory: %w", err)
	}
	routes, err := freeAddresses(clusterNodes)
	if err != nil {
		return n, err
	}
	for i := range routes {
		folder := filepath.Join(n.folder, nodeName(i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return n, fmt.Errorf("data directory: %w", err)
		}
		d := &daemon{
			binary: o.Program, data: filepath.Join(folder, "data"), checkpointEvery: o.CheckpointEvery,
			more: []string{
				"--cluster", "bench", "--node", nodeName(i), "--nats-listen", routes[i], "--nats-routes", strings.Join(routes, ","),
				"--cells", strconv.Itoa(clusterCells), "--replicas", strconv.Itoa(clusterNodes),
			},
		}
		n.daemons = append(n.daemons, d)
	}
	var starting sync.WaitGroup
	errs := make([]error, clusterNodes)
	for i, d := range n.daemons {
		starting.Go(func() { _, errs[i] = d.start(ctx) }) // Each waits for a majority.
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		return n, err
	}
	if err := n.findToken(ctx); err != nil {
		return n, err
	}
	// A node asks for the cells that it is first in line for some time after it has started. Later nobody moves a cell.
	err = n.await(ctx, "the cells are spread as the cluster spreads them", func() (bool, error) {
		m, err := n.look(ctx, n.token)
		return err == nil && n.owned(m, clusterNodes) == nil, err
	})
	if err != nil {
		return n, err
	}
	return n, n.populate(ctx)
}

// nodeName returns the name of a node, counted from 0.
func nodeName(i int) string { return "n" + strconv.Itoa(i+1) }

// freeAddresses returns addresses that nobody listens on.
func freeAddresses(count int) (list []string, err error) {
	for range count {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // All are open until all are known, so that they differ.
		list = append(list, l.Addr().String())
	}
	return list, nil
}

// findToken waits for the administrator's token, which the first owner of cell 0 writes, and until every cell has had
// an owner.
func (n *nodes) findToken(ctx context.Context) error {
	return n.await(ctx, "the cluster is ready", func() (bool, error) {
		for _, d := range n.daemons {
			if secret, err := os.ReadFile(filepath.Join(d.data, "admin.token")); err == nil && len(secret) > 0 {
				n.token = strings.TrimSpace(string(secret))
			}
		}
		if n.token == "" {
			return false, nil
		}
		for _, d := range slices.Backward(n.daemons) {
			var err error
			if n.admin, err = newAdmin(d.address, n.token); err != nil {
				return false, err
			}
			if n.admin.ready(ctx) != nil {
				return false, nil
			}
		}
		return true, nil
	})
}

// await asks until the answer is yes.
func (n *nodes) await(ctx context.Context, what string, ask func() (bool, error)) error {
	limit, again := time.NewTimer(clusterWithin), time.NewTicker(clusterAskEvery)
	defer limit.Stop()
	defer again.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-limit.C:
			return fmt.Errorf("cluster: it took more than %s until %s", clusterWithin, what)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look asks the first node for the map, with a token, until it answers: while a cell is handed over it may lack the
// copy that tokens are looked up in.
func (n *nodes) look(ctx context.Context, token string) (m clusterMap, err error) {
	a, err := newAdmin(n.daemons[0].address, token)
	if err != nil {
		return m, err
	}
	return m, n.await(ctx, "a node shows the map", func() (bool, error) {
		err := a.get(ctx, "/v1/cluster", &m)
		if refusalStatus(err) == http.StatusServiceUnavailable {
			return false, nil
		}
		return err == nil, err
	})
}

// populate makes accounts until each cell has one: which cell that is the cluster decides. Of the accounts each has a
// product with its share of the devices, and a token for its gateways.
func (n *nodes) populate(ctx context.Context) error {
	for i, missing := 0, clusterCells; missing > 0; i++ {
		if i == accountsPerCell*clusterCells {
			return fmt.Errorf("cluster: %d accounts lie in %d of %d cells", i, clusterCells-missing, clusterCells)
		}
		o := *n.o
		o.Product, o.Devices = fmt.Sprintf("%s-%d", n.o.Product, i), max(1, n.o.Devices/clusterCells)
		t := &target{
			o: &o, quiet: time.Now(), token: n.token, sequences: map[string]uint64{},
			main: newFleet(o.Product, o.Devices, zoneOfMorning(time.Now())),
		}
		if err := n.admin.create(ctx, o.Product, t.main); err != nil {
			return err
		}
		var made struct{ Token string }
		body := map[string]any{"name": o.Product, "role": "gateway", "account": o.Product}
		if err := n.admin.post(ctx, "/v1/tokens", body, &made); err != nil {
			return err
		}
		t.bound = made.Token
		m, err := n.look(ctx, t.bound)
		if err != nil {
			return err
		}
		if m.Cell == nil || *m.Cell < 0 || *m.Cell >= clusterCells {
			return fmt.Errorf("cluster: the map does not say in which cell account %q is", o.Product)
		}
		if n.cells[*m.Cell] == nil {
			n.cells[*m.Cell] = t
			missing--
		}
	}
	return nil
}

// spread has the first nodes own the cells, as many each, and follows them there.
func (n *nodes) spread(ctx context.Context, owners int) error {
	var m clusterMap
	err := n.await(ctx, "every cell is where it was moved", func() (there bool, err error) {
		if m, err = n.look(ctx, n.token); err != nil {
			return false, err
		}
		for cell, c := range m.Cells {
			if to := nodeName(cell % owners); c.Owner != to {
				if err := n.move(ctx, cell, to); err != nil {
					return false, err
				}
			}
		}
		return n.owned(m, owners) == nil, nil
	})
	if err != nil {
		return err
	}
	for cell, t := range n.cells {
		if err := t.reach(ctx, m.Cells[cell].Address); err != nil {
			return err
		}
	}
	return nil
}

// move asks for a cell to be handed over. That it has just moved, or that the node which is to own it is not ready, is
// no error: the map says when it is there.
func (n *nodes) move(ctx context.Context, cell int, to string) error {
	path := client.Path("v1", "cluster", "cells", strconv.Itoa(cell), "move")
	err := n.admin.post(ctx, path, map[string]any{"node": to}, nil)
	if status := refusalStatus(err); status == http.StatusServiceUnavailable || status == http.StatusConflict {
		return nil
	}
	return err
}

// owned returns an error unless the first nodes own the cells, as many each.
func (n *nodes) owned(m clusterMap, owners int) error {
	if len(m.Cells) != len(n.cells) {
		return fmt.Errorf("cluster: the map has %d cells, there are %d", len(m.Cells), len(n.cells))
	}
	for cell, c := range m.Cells {
		if c.Owner != nodeName(cell%owners) || c.Address == "" {
			return fmt.Errorf("cluster: cell %d is owned by %q, not by %q", cell, c.Owner, nodeName(cell%owners))
		}
	}
	return nil
}

// caughtUp reports whether no copy lacks anything.
func (n *nodes) caughtUp(ctx context.Context) (bool, error) {
	m, err := n.look(ctx, n.token)
	for _, c := range m.Cells {
		for _, r := range c.Replicas {
			if r.LagGroups > 0 {
				return false, err
			}
		}
	}
	return err == nil, err
}

// close stops the nodes, all together, and removes their directories unless keep says otherwise.
func (n *nodes) close(keep bool) error {
	var stopping sync.WaitGroup
	errs := make([]error, len(n.daemons))
	for i, d := range n.daemons {
		if d.running() {
			stopping.Go(func() { _, errs[i] = d.stop() })
		}
	}
	stopping.Wait()
	err := errors.Join(errs...)
	if n.folder != "" && !keep && err == nil {
		err = os.RemoveAll(n.folder)
	}
	return err
}
