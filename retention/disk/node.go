package disk

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Node is the open directory of a node of a cluster. While it is open no other process has it. In it lie the data
// directories of its cells, and what others keep beside them.
type Node struct {
	path string
	lock *os.File
	name NodeName
	// Cluster is the cluster's identity, zeroes before Join.
	Cluster [16]byte
}

const (
	nodeTitle = "node of a cluster"
	nodeFile  = "NODE"
)

// NodeName says which node of which cluster a directory is of.
type NodeName struct{ Cluster, Node string }

// OpenNode takes the directory of a node for this process, and makes it if it is missing. One of another node is
// refused: the others would count it twice. One of a daemon that is alone is refused, or with moveIn becomes its first
// cell.
func OpenNode(path string, name NodeName, moveIn bool) (*Node, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory %q: %w; name a place with --data that this user may write to", path, err)
	}
	if err := SyncDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	lock, err := lockDir(path)
	if err != nil {
		return nil, err
	}
	n := &Node{path: path, lock: lock, name: name}
	if err := errors.Join(n.read(), n.moveIn(moveIn), MakeDir(filepath.Join(path, "cells"))); err != nil {
		_ = lock.Close() // Nothing was written to it.
		return nil, err
	}
	return n, nil
}

func (n *Node) read() error {
	fields, err := ReadSealed(n.file(), nodeTitle)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	id, err := hex.DecodeString(fields["cluster"])
	if err != nil || len(id) != len(n.Cluster) {
		return Damage(n.file(), "cluster %q is not 16 bytes in hex", fields["cluster"])
	}
	copy(n.Cluster[:], id)
	if of := (NodeName{fields["name"], fields["node"]}); of != n.name {
		return fmt.Errorf("data directory %q is that of node %q of cluster %q: start it with --cluster %s --node %s, or "+
			"give node %q another --data", n.path, of.Node, of.Cluster, of.Cluster, of.Node, n.name.Node)
	}
	return nil
}

func (n *Node) file() string { return filepath.Join(n.path, nodeFile) }

// Join notes for ever which cluster the node is of.
func (n *Node) Join(cluster [16]byte) error {
	if n.Cluster == cluster {
		return nil
	}
	n.Cluster = cluster
	return WriteSynced(n.file(), EncodeSealed(nodeTitle, [][2]string{
		{"cluster", hex.EncodeToString(cluster[:])}, {"name", n.name.Cluster}, {"node", n.name.Node},
	}))
}

// CellPath returns the data directory of a cell.
func (n *Node) CellPath(cell int) string {
	return filepath.Join(n.path, "cells", fmt.Sprintf("%02d", cell))
}

// Path returns where something else lies, by its name.
func (n *Node) Path(name string) string { return filepath.Join(n.path, name) }

// Close releases the directory for the next process.
func (n *Node) Close() error {
	if err := n.lock.Close(); err != nil {
		return fmt.Errorf("unlock %q: %w", n.path, err)
	}
	return nil
}
