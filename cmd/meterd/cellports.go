package main

import (
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/ingest"
)

// The server of a cell listens when this node owns the cell, and a node that cannot listen then ends in the middle of
// a take-over. So its ports are tried when it starts: those that are known to be needed before it is one of the
// cluster, the others when it has heard how many cells there are, before it copies anything.

// cellListens returns where the server of a cell listens.
func (n *node) cellListens(cell int) (string, error) {
	if n.o.cluster.cellsListen == "" {
		host, _, err := net.SplitHostPort(n.o.listen)
		return net.JoinHostPort(host, "0"), err
	}
	host, first, err := cellsFrom(n.o.cluster.cellsListen)
	return net.JoinHostPort(host, strconv.Itoa(first+cell)), err
}

// cellsFrom returns what --cells-listen says: the host, and the port of cell 0.
func cellsFrom(flag string) (host string, first int, err error) {
	host, port, err := net.SplitHostPort(flag)
	if err == nil {
		first, err = strconv.Atoi(port)
	}
	if err != nil || first < 1 || first > portMax {
		return "", 0, fmt.Errorf("--cells-listen %q: must be HOST:PORT, with a number as port", flag)
	}
	return host, first, nil
}

// tryCells tries whether the servers of so many cells can listen here.
func (n *node) tryCells(cells int) error {
	flag := n.o.cluster.cellsListen
	if flag == "" {
		return nil // Any port will do, of a host that the node itself listens on.
	}
	_, first, err := cellsFrom(flag)
	if err != nil {
		return err
	}
	if last := first + cells - 1; last > portMax {
		return fmt.Errorf("--cells-listen %s: %d cells need ports up to %d, and there are %d", flag, cells, last, portMax)
	}
	for cell := range cells {
		address, err := n.cellListens(cell)
		if err != nil {
			return err
		}
		if err := ingest.CanListen(address); err != nil {
			return fmt.Errorf("--cells-listen %s: the server of cell %d could not listen: %w; free this port, or name others",
				flag, cell, err)
		}
	}
	return nil
}

// cellsAhead returns how many cells this node has at least, as far as that is known before it is one of the cluster: by
// its directory, or as its flags say.
func (n *node) cellsAhead() int {
	ahead := max(1, n.o.cluster.cells)
	for cell := range jetlog.CellsMax {
		if _, err := os.Stat(n.dir.CellPath(cell)); err == nil {
			ahead = max(ahead, cell+1)
		}
	}
	return ahead
}
