package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/cluster/jetlog"
	"github.com/meterd/meterd/cluster/member"
	"github.com/meterd/meterd/retention/disk"
	commitlog "github.com/meterd/meterd/retention/log"
)

const (
	// streamFile in a cell's directory says which stream its copy follows. So a node starts although a stream is gone, and
	// nobody makes another one in its place unasked.
	streamFile  = "STREAM"
	streamTitle = "stream of a cell"
)

// streamOf is what is known of a cell's stream.
type streamOf struct {
	path string
	mu   sync.Mutex
	made jetlog.Made
}

func (s *streamOf) get() jetlog.Made {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// set notes another stream, also on the disk.
func (s *streamOf) set(made jetlog.Made) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = made
	return s.write()
}

// write is called with the lock held, or before anybody has s.
func (s *streamOf) write() error {
	m := &s.made
	return disk.WriteSynced(s.path, disk.EncodeSealed(streamTitle, [][2]string{
		{"identity", hex.EncodeToString(m.Identity[:])},
		{"origin", hex.EncodeToString(m.Origin[:])},
		{"seed", hex.EncodeToString(m.Seed[:])},
		{"cells", strconv.Itoa(m.Cells)},
		{"replicas", strconv.Itoa(m.Replicas)},
	}))
}

// readStream reads what a cell's directory says of its stream; false: it is new.
func readStream(dir string) (m jetlog.Made, known bool, err error) {
	path := filepath.Join(dir, streamFile)
	fields, err := disk.ReadSealed(path, streamTitle)
	if errors.Is(err, os.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	var errs []error
	for name, to := range map[string][]byte{"identity": m.Identity[:], "origin": m.Origin[:], "seed": m.Seed[:]} {
		b, err := hex.DecodeString(fields[name])
		if err != nil || len(b) != len(to) {
			errs = append(errs, disk.Damage(path, "%s is not %d bytes in hex", name, len(to)))
		}
		copy(to, b)
	}
	for name, to := range map[string]*int{"cells": &m.Cells, "replicas": &m.Replicas} {
		if *to, err = strconv.Atoi(fields[name]); err != nil || *to < 1 {
			errs = append(errs, disk.Damage(path, "%s is no number", name))
		}
	}
	return m, true, errors.Join(errs...)
}

// settings are what the stream of a cell is made and looked at with.
func (n *node) settings(cell int) jetlog.Settings {
	c := &n.o.cluster
	s := jetlog.Settings{
		Cluster: c.name, Cell: cell, Cells: c.cells, Replicas: c.replicas, Servers: c.replicasOfNew(),
	}
	if cell < len(n.made) {
		s.Origin = n.made[cell].get().Origin
	} else if cell == 0 {
		s.Origin = n.dir.Cluster
	}
	return s
}

// stand returns what all cells' streams were made with, and makes those that there are none of if this node has never
// been one of the cluster. It waits for a majority of the servers.
func (n *node) stand(ctx context.Context) error {
	var waits jetlog.Seldom
	for cell, cells := 0, 1; cell < cells; cell++ {
		made, known, err := readStream(n.dir.CellPath(cell))
		if errors.Is(err, disk.ErrDamaged) && n.dir.Cluster != ([16]byte{}) { // It makes no stream, it looks at it.
			n.logger.Error("which stream a copy follows is damaged: it is asked for anew", "cell", cell, "error", err)
			known, err = false, nil
		}
		if known {
			err = errors.Join(err, n.settings(cell).Agrees(made))
		}
		if err != nil {
			return err
		}
		for !known {
			if made, err = n.makeOrLook(ctx, cell); err == nil {
				break
			}
			if errors.Is(err, jetlog.ErrRefused) {
				return err
			}
			if waits.Says(err.Error(), time.Now()) {
				n.logger.Warn("the cluster does not stand yet", "cell", cell, "error", err)
			}
			if err := wait(ctx, standEvery); err != nil {
				return err
			}
		}
		cells = made.Cells
		n.made = append(n.made, &streamOf{path: filepath.Join(n.dir.CellPath(cell), streamFile), made: made})
	}
	return n.dir.Join(n.made[0].get().Origin)
}

func (n *node) makeOrLook(ctx context.Context, cell int) (jetlog.Made, error) {
	if n.dir.Cluster == ([16]byte{}) && cell == 0 {
		return n.makeFirst(ctx)
	}
	ask, cancel := context.WithTimeout(ctx, makeWithin)
	defer cancel()
	if n.dir.Cluster == ([16]byte{}) {
		return jetlog.Make(ask, n.nats.Conn(), n.settings(cell))
	}
	made, _, err := jetlog.Look(ask, n.nats.Conn(), n.settings(cell))
	return made, err
}

// recall refuses to go on with copies that are older than what this node had once, before anybody relies on them.
func (n *node) recall(ctx context.Context) error {
	var own []board.CellStatus
	for cell, c := range n.cells {
		log, err := commitlog.OpenReadOnly(c.dir.LogPath())
		if err != nil {
			continue // It is opened in order later, and says what is wrong.
		}
		group, _, chain := log.Last()
		if err := log.Close(); err != nil {
			return err
		}
		if group > 0 {
			own = append(own, board.CellStatus{
				Cell: cell, Stream: board.Bytes16(n.made[cell].get().Identity), Copy: c.copyName, Group: group,
				Chain: board.Bytes16(chain),
			})
		}
	}
	if len(own) == 0 {
		return nil
	}
	return n.board.Recall(ctx, own)
}

// look says which stream the copy of a cell follows now.
func (n *node) look(ctx context.Context, cell int) (member.Followed, error) {
	known := n.made[cell].get()
	made, _, err := jetlog.Look(ctx, n.nats.Conn(), n.settings(cell))
	if err != nil {
		return member.Followed{Identity: known.Identity}, err
	}
	if known.Identity != made.Identity {
		n.logger.Warn("the cell has another stream", "cell", cell, "begins_behind_the_copy_of", made.Begins)
		if err := n.made[cell].set(made); err != nil {
			return member.Followed{}, err
		}
	}
	return member.Followed{
		Identity: made.Identity, Begins: made.Begins == n.o.cluster.node,
		Foreign: made.Begins != "" && made.Begins != n.o.cluster.node,
	}, nil
}

// mayRenew says again, behind the proof, why no stream may be replaced: much may have happened meanwhile.
func (n *node) mayRenew(cell int) error {
	if node, _, epoch, ok := n.board.Owner(cell); ok {
		return fmt.Errorf("node %q owns cell %d in epoch %d: nothing is to be repaired", node, cell, epoch)
	}
	if n.hosts[cell].Status().Role == board.Reseeding {
		return fmt.Errorf("the copy of cell %d is being made anew: wait until it is whole", cell)
	}
	return nil
}

// renew proves this node's copy of a cell from its first group on, and begins a new stream behind it.
func (n *node) renew(ctx context.Context, cell int) error {
	path := filepath.Join(n.dir.CellPath(cell), "log")
	log, err := commitlog.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer log.Close()
	last, _, _ := log.Last()
	prove := func() (uint64, error) {
		if err := log.Replay(log.First(), func(*commitlog.Group) error { return ctx.Err() }); err != nil {
			return 0, fmt.Errorf("prove the copy %q: %w", path, err)
		}
		return last, n.mayRenew(cell)
	}
	made, err := jetlog.Renew(ctx, n.nats.Conn(), n.settings(cell), n.made[cell].get(), n.o.cluster.node, prove)
	if err != nil {
		return err
	}
	n.logger.Warn("a new stream begins behind this node's copy", "cell", cell, "group", last)
	return n.made[cell].set(made)
}
