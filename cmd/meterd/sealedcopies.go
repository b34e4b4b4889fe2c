package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// Each node of a cluster has the sealed snapshots of every cell, whether it owns the cell or not. What the audit log of
// its copy names and its directory lacks it asks of the other nodes' doors, the owner's first.
//
//	owner: seal ─► audit log ═ stream ═► standby: audit log ─► Keeper ──GET──► door of the owner, or of another node
//	       waits ◄──────────────── board: the newest that it has ◄── files ◄──┘
//	       201

// sealedPath is where a node is asked for what it has: sealedPath CELL/ID/FILE. Only nodes may.
const sealedPath = "/internal/sealed/"

// sealedCopy is what a node has of the sealed snapshots of a cell.
type sealedCopy struct {
	store  *sealed.Store
	record *sealed.Record
	keeper *sealed.Keeper
}

// openSealed opens what the cell's directory has, and keeps it as the audit log says until ctx ends.
func (c *cellCopy) openSealed(ctx context.Context, s *state) error {
	store, err := sealed.OpenCopy(c.dir.SnapshotsPath(), snapshotPrefix(c.place), c.logger)
	if err != nil {
		return err
	}
	standby := s.standby // It says this also when it is promoted.
	s.sealed = &sealedCopy{store: store, record: &sealed.Record{}}
	s.sealed.keeper = sealed.NewKeeper(sealed.KeeperOptions{
		Store: store, Record: s.sealed.record, Audit: s.ledger.AuditFrom,
		Change:  func() uint64 { return standby.Catalogue().Seq },
		Sources: c.sealedSources, Room: c.dir.Guard().Room, Changed: c.node.tellSoon, Logger: c.logger,
	})
	s.kept.Go(func() { s.sealed.keeper.Run(ctx) })
	c.sealed.Store(s.sealed)
	return nil
}

// sealedSources returns the other nodes that are heard, the owner of the cell first.
func (c *cellCopy) sealedSources() (list []sealed.Source) {
	owner, _, _, _ := c.board.Owner(c.place.Number)
	for _, s := range c.board.Nodes() {
		if s.Node == c.node.o.cluster.node || s.State == board.Silent || s.Address == "" {
			continue
		}
		from := sealedSource{c.doorOf(&s), c.place.Number}
		if s.Node == owner {
			list = slices.Insert(list, 0, sealed.Source(from))
		} else {
			list = append(list, from)
		}
	}
	return list
}

// sealedSource is another node.
type sealedSource struct {
	peerDoor
	cell int
}

// Name implements sealed.Source.
func (s sealedSource) Name() string { return s.node }

// Get implements sealed.Source.
func (s sealedSource) Get(ctx context.Context, id, file string, w io.Writer) error {
	return s.get(ctx, sealedPath+client.Path(strconv.Itoa(s.cell), id, file)[1:], w)
}

// openSealedFile opens CELL/ID/FILE.
func (n *node) openSealedFile(path string) (f io.ReadCloser, size int, err error) {
	cell, rest, _ := strings.Cut(path, "/")
	id, name, _ := strings.Cut(rest, "/")
	i, err := strconv.Atoi(cell)
	if err != nil || i < 0 || i >= len(n.cells) {
		return nil, 0, fs.ErrNotExist
	}
	has := n.cells[i].sealed.Load()
	if has == nil {
		return nil, 0, fmt.Errorf("the copy of cell %d is closed", i)
	}
	m := has.store.Get(id)
	if m == nil {
		return nil, 0, fs.ErrNotExist
	}
	if name == sealed.ManifestName {
		return has.store.OpenManifest(m)
	}
	content, file, err := has.store.Open(m, name)
	return content, int(file.Bytes), err
}

// spread waits until every node that follows the cell has a snapshot. Whoever is not heard, or takes longer than a slow
// network would, copies it by itself when it can: it is not waited for.
func (c *cellCopy) spread(ctx context.Context, m *sealed.Manifest) {
	began, bytes := time.Now(), int64(0)
	for _, f := range m.Files {
		bytes += f.Bytes
	}
	ctx, cancel := context.WithTimeout(ctx, spreadMin+time.Duration(bytes)*spreadAByte)
	defer cancel()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	// A replica of the stream learns that a message is stored from the next one. An engine that fails is dropped.
	if e := c.engine.Load(); e != nil {
		_ = e.Durable()
	}
	for {
		changed := c.board.Changed()
		have, lack := haveSealed(c.board.Nodes(), c.node.o.cluster.node, c.place.Number, m.Sequence)
		if len(lack) == 0 {
			c.logger.Info("the standbys have a sealed snapshot", "snapshot", m.ID, "nodes", have,
				"seconds", time.Since(began).Seconds())
			return
		}
		select {
		case <-changed:
		case <-tick.C: // Nobody tells that a node falls silent.
		case <-ctx.Done():
			c.logger.Warn("a sealed snapshot is not on all standbys yet: they go on copying it", "snapshot", m.ID,
				"nodes", have, "lack", lack)
			return
		}
	}
}

// haveSealed returns which standbys of a cell that are heard, but for the node own, have the snapshot of a sequence,
// and which lack it. One that has a newer one and lacks any may lack this one: the newest is copied first. A meterd
// that tells nothing of snapshots copies none.
func haveSealed(nodes []board.Status, own string, cell int, sequence uint64) (have, lack []string) {
	for i := range nodes {
		n := &nodes[i]
		s, has := n.Cell(cell)
		switch {
		case !has, s.Role != board.Standby, n.Node == own, n.State == board.Silent, n.State == board.Leaving,
			s.Sealed == nil:
		case *s.Sealed == sequence, *s.Sealed > sequence && s.Lacks == 0:
			have = append(have, n.Node)
		default:
			lack = append(lack, n.Node)
		}
	}
	return have, lack
}
