package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// A directory of a daemon that was alone becomes the first cell of a node by renames. They gather it in cells/00.moving
// and begin with VERSION: from then on neither a daemon that is alone nor another node takes the directory, and every
// start goes on with them.
//
//	DIR/VERSION, IDENTITY, log/ … ─► DIR/cells/00.moving/ ─► DIR/cells/00
const (
	movingSuffix = ".moving"
	// movedFile says that a cell was moved in and that no cluster has taken it yet.
	movedFile = "MOVED"
)

// moveIn moves a daemon's directory to where that of the first cell lies, or goes on with it. Without `wanted` it is
// not begun, and a daemon's directory is refused.
func (n *Node) moveIn(wanted bool) error {
	cell := n.CellPath(0)
	moving := cell + movingSuffix
	begun, err := exists(filepath.Join(moving, "VERSION"))
	if err != nil {
		return err
	}
	alone, err := exists(filepath.Join(n.path, "VERSION"))
	switch {
	case err != nil || !begun && !alone:
		return err
	case !begun && !wanted:
		return fmt.Errorf("data directory %q is of a daemon that is alone: start it without --cluster, or with --move-in "+
			"to make it the first cell of a new cluster, or name an empty directory with --data", n.path)
	case begun && alone:
		return fmt.Errorf("%q and %q both have a VERSION: move one of them away", n.path, moving)
	}
	if taken, err := exists(cell); taken || err != nil {
		return errors.Join(err, fmt.Errorf("%q is there already: it is of another cell, move it away", cell))
	}
	if !begun {
		if err := errors.Join(MakeDir(filepath.Dir(moving)), MakeDir(moving)); err != nil {
			return err
		}
		if err := WriteSynced(filepath.Join(moving, movedFile), nil); err != nil {
			return err
		}
	}
	for _, name := range []string{
		"VERSION", "IDENTITY", "BALLAST", "DEMO", "log", "archive", "ledger", "checkpoint", "snapshots", "webhooks",
		"history",
	} {
		if err := n.moveOne(moving, name); err != nil {
			return err
		}
	}
	if err := os.Rename(moving, cell); err != nil {
		return fmt.Errorf("move the data directory in: %w", err)
	}
	return SyncDir(filepath.Dir(cell))
}

// moveOne moves a file or directory, durably, if it has not moved yet.
func (n *Node) moveOne(to, name string) error {
	from := filepath.Join(n.path, name)
	if there, err := exists(from); !there || err != nil {
		return err
	}
	if err := os.Rename(from, filepath.Join(to, name)); err != nil {
		return fmt.Errorf("move %q in: %w; a mount point cannot move: mount it as %q, with what is in it, and start again",
			from, err, filepath.Join(to, name))
	}
	return errors.Join(SyncDir(to), SyncDir(n.path))
}

// MovedIn reports whether the first cell was a daemon's and is of no cluster yet.
func (n *Node) MovedIn() (bool, error) { return exists(filepath.Join(n.CellPath(0), movedFile)) }

// Settle notes that a cluster has the cell that was moved in.
func (n *Node) Settle() error {
	err := os.Remove(filepath.Join(n.CellPath(0), movedFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("settle the cell that was moved in: %w", err)
	}
	return SyncDir(n.CellPath(0))
}

// SeedOf returns the key of the device table's hash that the first start in a data directory has fixed.
func SeedOf(dir string) (seed [16]byte, err error) {
	id, err := readIdentity(filepath.Join(dir, "IDENTITY"))
	return id.hashSeed, err
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at %q: %w", path, err)
	}
	return true, nil
}
