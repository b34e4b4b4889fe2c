package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/meterd/meterd/cluster/board"
	"github.com/meterd/meterd/retention/archive"
)

// A standby adopts the archive of its cell's owner (shard/rawlog): it asks the door of the owner's node for the
// manifest, and for the directories that it lacks.
//
//	standby ── GET archivePath CELL/manifest ──► door of the owner's node ─► its archive.Store
//	        ── GET archivePath CELL/SUM ───────►        a tar of one directory
const (
	archivePath     = "/internal/archive/"
	archiveManifest = "manifest"
)

// archiveSource is the archive of whoever owns the cell.
type archiveSource struct{ c *cellCopy }

// door returns where the owner's node is asked, false while nobody else is known to own the cell.
func (a archiveSource) door() (peerDoor, bool) {
	owner, _, _, _ := a.c.board.Owner(a.c.place.Number)
	if owner == a.c.node.o.cluster.node {
		return peerDoor{}, false
	}
	for _, s := range a.c.board.Nodes() {
		if s.Node == owner && s.State != board.Silent && s.Address != "" {
			return a.c.doorOf(&s), true
		}
	}
	return peerDoor{}, false
}

func (a archiveSource) path(what string) string {
	return archivePath + strconv.Itoa(a.c.place.Number) + "/" + what
}

// Manifest implements archive.Source.
func (a archiveSource) Manifest(ctx context.Context) ([]byte, error) {
	from, is := a.door()
	if !is {
		return nil, nil
	}
	var b bytes.Buffer
	if err := from.get(ctx, a.path(archiveManifest), &shortBuffer{&b}); err != nil {
		return nil, fmt.Errorf("ask node %q: %w", from.node, err)
	}
	return b.Bytes(), nil
}

// shortBuffer takes as many bytes as a manifest may have.
type shortBuffer struct{ b *bytes.Buffer }

func (s *shortBuffer) Write(b []byte) (int, error) {
	if s.b.Len()+len(b) > archiveManifestBytesMax {
		return 0, errors.New("it has too many bytes for a manifest")
	}
	return s.b.Write(b)
}

// Directory implements archive.Source.
func (a archiveSource) Directory(ctx context.Context, sum archive.Sum) (io.ReadCloser, error) {
	from, is := a.door()
	if !is {
		return nil, errNobody
	}
	select {
	case a.c.node.copying <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r, w := io.Pipe()
	go func() {
		err := from.get(ctx, a.path(hex.EncodeToString(sum[:])), w)
		if err != nil {
			err = fmt.Errorf("ask node %q: %w", from.node, err)
		}
		_ = w.CloseWithError(err) // It returns nil; without an error the reader sees the end.
	}()
	leave := sync.OnceFunc(func() { <-a.c.node.copying })
	return &pacedReader{ReadCloser: r, ctx: ctx, pace: &a.c.node.copies, leave: leave, now: time.Now}, nil
}

// pacedReader reads as fast as all copies of a node together may. It is closed once. Whoever sends too slowly is given
// up, and what takes longer than a turn lets another cell's copy begin beside it.
type pacedReader struct {
	io.ReadCloser
	ctx    context.Context
	pace   *bytePace
	leave  func() // may be called more than once
	now    func() time.Time
	begun  time.Time     // when the first byte was read for
	waited time.Duration // for the sender: what the pace takes is not counted
	bytes  int64
}

// Close implements io.Closer.
func (p *pacedReader) Close() error {
	defer p.leave()
	return p.ReadCloser.Close()
}

func (p *pacedReader) Read(b []byte) (int, error) {
	asked := p.now()
	if p.begun.IsZero() {
		p.begun = asked
	}
	n, err := p.ReadCloser.Read(b)
	p.bytes += int64(n)
	p.waited += p.now().Sub(asked)
	if p.now().Sub(p.begun) > copyTurn {
		p.leave()
	}
	if most := peerSilence + time.Duration(p.bytes)*time.Second/copyBytesPerSecondMin; err == nil && p.waited > most {
		err = fmt.Errorf("it is too slow: %d bytes in %s", p.bytes, p.waited.Round(time.Second))
	}
	if err == nil {
		err = p.pace.rest(p.ctx, int64(n))
	}
	return n, err
}

// openArchived opens CELL/manifest or CELL/SUM for another node.
func (n *node) openArchived(path string) (f io.ReadCloser, size int, err error) {
	cell, what, _ := strings.Cut(path, "/")
	i, err := strconv.Atoi(cell)
	if err != nil || i < 0 || i >= len(n.cells) {
		return nil, 0, fs.ErrNotExist
	}
	has := n.cells[i].archive.Load()
	if has == nil {
		return nil, 0, fmt.Errorf("the copy of cell %d is closed", i)
	}
	if what == archiveManifest {
		b := has.Manifest()
		return io.NopCloser(bytes.NewReader(b)), len(b), nil
	}
	var sum archive.Sum
	if k, err := hex.Decode(sum[:], []byte(what[:min(len(what), 2*len(sum))])); err != nil || 2*k != len(what) {
		return nil, 0, fs.ErrNotExist
	}
	if !has.Has(sum) { // It may go nevertheless: then the answer breaks off.
		return nil, 0, fs.ErrNotExist
	}
	r, w := io.Pipe()
	go func() {
		err := has.Send(sum, w)
		if err != nil && !errors.Is(err, archive.ErrGone) && !errors.Is(err, io.ErrClosedPipe) {
			n.logger.Warn("a directory of the archive cannot be sent to another node", "cell", i, "error", err)
		}
		_ = w.CloseWithError(err) // It returns nil.
	}()
	return r, -1, nil
}
