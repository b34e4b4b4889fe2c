package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/meterd/meterd/access"
	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/client"
	"github.com/meterd/meterd/retention/disk"
)

// A cell's directory that is made anew lies beside it until it is whole, and takes its place then. One that was damaged
// is kept, for somebody to look at.
const (
	newSuffix     = ".new"
	damagedSuffix = ".damaged"
)

// errNobody says that a cell has no owner that a copy could be asked of.
var errNobody = errors.New("nobody owns the cell now, so that there is nobody to copy it from")

// owners says who owns a cell, as board.Board does.
type owners interface {
	Owner(cell int) (node, address string, epoch uint64, ok bool)
	Changed() <-chan struct{}
}

// donor is whom a copy of a cell is asked of: its owner.
type donor struct {
	cell  int
	board owners
	hop   access.Hop
	peer  func(node string) *tls.Config
}

// owner waits until somebody owns the cell: a node that has just started has heard nobody yet.
func (d *donor) owner(ctx context.Context) (node, address string, err error) {
	timeout := time.NewTimer(donorWithin)
	defer timeout.Stop()
	for {
		changed := d.board.Changed()
		if node, address, _, ok := d.board.Owner(d.cell); ok {
			return node, address, nil
		}
		select {
		case <-changed:
		case <-timeout.C:
			return "", "", errNobody
		case <-ctx.Done():
			return "", "", ctx.Err()
		}
	}
}

// copyTo has the cell's owner send its directory to a target.
func (d *donor) copyTo(ctx context.Context, to backup.Target) (*backup.Manifest, error) {
	node, address, err := d.owner(ctx)
	if err != nil {
		return nil, err
	}
	o := client.AdminOptions{
		URL: "http://" + address, Timeout: reseedSilence, TLS: d.peer(node),
		Header: http.Header{access.HeaderHop: {string(d.hop.Inner())}},
	}
	if o.TLS != nil {
		o.URL = "https://" + address
	}
	admin, err := client.NewAdmin(o)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	m, err := receive(ctx, admin, nil, to)
	if err != nil {
		return nil, fmt.Errorf("copy it from node %q: %w", node, err)
	}
	if len(m.Damaged) > 0 { // Its owner knows it now, and hands the cell over if another node's copy is in order.
		return nil, fmt.Errorf("the copy of node %q is damaged, too: %q", node, m.Damaged)
	}
	return m, nil
}

// receive reads a copy from a daemon and gives it to a target.
func receive(
	ctx context.Context, admin *client.Admin, query url.Values, to backup.Target,
) (*backup.Manifest, error) {
	body, send := io.Pipe()
	asked := make(chan error, 1)
	go func() {
		_, err := admin.Download(ctx, client.Path("v1", "backup"), query, send)
		_ = send.CloseWithError(err) // It returns nil; without an error the reader sees the end.
		asked <- err
	}()
	m, err := backup.Receive(ctx, body, to)
	_ = body.CloseWithError(err) // It returns nil; the daemon is told no more.
	if refused := <-asked; refused != nil && (err == nil || errors.Is(err, refused)) {
		return nil, refused
	}
	return m, err
}

// reseed replaces the cell's directory by a copy of its owner's. The cell is closed.
func (c *cellCopy) reseed(ctx context.Context, from *donor, cause error) (copyName string, err error) {
	began := time.Now()
	path := c.dir.Path()
	fresh := path + newSuffix
	if err := os.RemoveAll(fresh); err != nil {
		return "", fmt.Errorf("remove what is left of an earlier copy: %w", err)
	}
	to, err := backup.NewDirectory(fresh)
	if err != nil {
		return "", err
	}
	m, err := from.copyTo(ctx, &roomy{to, c.dir.Guard().Low})
	c.more.losesHooks = errors.Is(err, errNobody) // Of such a cell all copies may lack them.
	if err != nil {
		return "", errors.Join(err, to.Abort())
	}
	if err := keepStream(fresh, path); err != nil {
		return "", errors.Join(err, to.Abort())
	}
	if err := c.replace(fresh, !errors.Is(cause, disk.ErrDamaged)); err != nil {
		return "", err
	}
	c.logger.Info("the cell's directory was copied from its owner", "group", m.Group, "bytes", m.Bytes(),
		"seconds", time.Since(began).Seconds())
	return c.copyName, nil
}

// replace puts a directory that is whole into the place of the cell's. That one is closed meanwhile and open again
// afterwards, also after an error; if it cannot be opened, the node fails.
func (c *cellCopy) replace(fresh string, isLeftBehind bool) error {
	path := c.dir.Path()
	old := path + damagedSuffix
	err := c.closeDir()
	if err == nil {
		err = swap(fresh, path, old)
	}
	if err == nil && isLeftBehind {
		if err := os.RemoveAll(old); err != nil {
			c.logger.Warn("the copy that was left behind is still there: remove it", "path", old, "error", err)
		}
	}
	if err != nil {
		err = fmt.Errorf("put the copy into its place: %w", err)
	}
	if opened := c.openDir(); opened != nil {
		err = errors.Join(err, fmt.Errorf("open the cell's directory again: %w", opened))
		c.more.failed(err)
	}
	return err
}

// swap moves what lies at path to old, and fresh to path. If it fails, what was at path is there again.
func swap(fresh, path, old string) error {
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(path, old); err != nil {
		return err
	}
	err := os.Rename(fresh, path)
	if err == nil {
		err = disk.SyncDir(filepath.Dir(path))
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, os.RemoveAll(path), os.Rename(old, path))
}

// keepStream has a new directory say, too, which stream its copy follows.
func keepStream(to, from string) error {
	b, err := os.ReadFile(filepath.Join(from, streamFile))
	if err != nil {
		return fmt.Errorf("read which stream the copy follows: %w", err)
	}
	return disk.WriteSynced(filepath.Join(to, streamFile), b)
}

// roomy is a target that takes nothing while space on the disk runs short: other cells need it.
type roomy struct {
	backup.Target
	low func() bool
}

// Put implements backup.Target.
func (t *roomy) Put(ctx context.Context, name string, r io.Reader, size int64) error {
	return t.Target.Put(ctx, name, &roomyReader{r, t.low}, size)
}

type roomyReader struct {
	r   io.Reader
	low func() bool
}

func (r *roomyReader) Read(b []byte) (int, error) {
	if r.low() {
		return 0, backup.ErrNoRoom
	}
	return r.r.Read(b)
}
