package backup

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	commitlog "github.com/meterd/meterd/retention/log"
)

// Source is a data directory that a daemon has open.
type Source struct {
	Dir         *disk.Dir
	Log         *commitlog.Log
	Checkpoints *disk.Checkpoints
	Archive     *archive.Store
	// Ledger and Webhooks open the rows of each as they stand between two groups.
	Ledger, Webhooks func(ctx context.Context) (*ledger.Instant, error)
	// Snapshots calls fn while the audit log has the sealed snapshots that are there and no other; they stay until let is
	// called.
	Snapshots func(ctx context.Context, fn func() error) (let func(), err error)
	// Low says that space on the disk runs short: then nothing is copied.
	Low     func() bool
	Seed    [16]byte // that the log's records depend on: the directory's own, or its cell's
	Version string   // of meterd, for people
}

// ErrNoRoom says that the disk of the daemon runs short of space, which what is being copied would keep from being
// freed.
var ErrNoRoom = errors.New("the disk is too full for what is copied to be kept meanwhile")

// Cut is a data directory as of one instant. It belongs to one goroutine and must be closed.
type Cut struct {
	s          *Source
	log        *commitlog.Hold
	checkpoint *disk.CheckpointReader // nil: there is none
	archive    *archive.Hold
	ledger     *ledger.Instant
	webhooks   *ledger.Instant
	sealed     []string          // files of snapshots, below their room; they never change
	positions  map[string][]byte // small files beside them, which are replaced
	let        func()            // of the snapshots
	manifest   Manifest
}

// Open decides the instant. Everything that was durable before the call is in the copy. It takes a second or so, and
// holds up nobody; it waits for a snapshot that is being sealed.
func Open(ctx context.Context, s *Source) (c *Cut, err error) {
	c = &Cut{s: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			c = nil
		}
	}()
	if s.Low() {
		return c, ErrNoRoom
	}
	c.log = s.Log.Hold()
	// The checkpoint comes before the ledger: what memory had let go of by then, the ledger has.
	if c.checkpoint, err = s.Checkpoints.Hold(); err != nil {
		return c, fmt.Errorf("hold the checkpoint: %w", err)
	}
	if c.archive, err = s.Archive.Hold(); err != nil {
		return c, err
	}
	if c.ledger, err = s.Ledger(ctx); err != nil {
		return c, err
	}
	if c.webhooks, err = s.Webhooks(ctx); err != nil {
		return c, err
	}
	c.let, err = s.Snapshots(ctx, func() (err error) {
		if err := c.listSnapshots(); err != nil {
			return err
		}
		return c.end()
	})
	return c, err
}

// listSnapshots notes which files there are, and reads those that are replaced.
func (c *Cut) listSnapshots() error {
	room := c.s.Dir.SnapshotsPath()
	names, err := filesOf(room)
	if err != nil {
		return err
	}
	c.positions = map[string][]byte{}
	for _, name := range names {
		if strings.Contains(name, "/") {
			c.sealed = append(c.sealed, name)
			continue
		}
		if c.positions[name], err = os.ReadFile(filepath.Join(room, name)); err != nil {
			return fmt.Errorf("read the positions of snapshots: %w", err)
		}
	}
	return nil
}

// end decides the last group, last of all.
func (c *Cut) end() error {
	seq, ms, chain := c.log.Cut()
	c.manifest = Manifest{
		Format: manifestFormat, Data: disk.FormatVersion, MadeBy: c.s.Version, Region: c.s.Dir.Region(),
		Group: seq, Chain: hex.EncodeToString(chain[:]), AsOfMs: ms,
		Ledger: atOf(c.ledger.Position()), Webhook: atOf(c.webhooks.Position()),
	}
	first := c.log.First()
	behind := map[string]uint64{
		"the ledger": c.ledger.Position().Seq, "the webhooks": c.webhooks.Position().Seq,
		"the archive": c.archive.Position().Seq,
	}
	if c.checkpoint != nil {
		behind["the checkpoint"] = c.checkpoint.B()
	}
	for what, at := range behind {
		if at+1 < first {
			return fmt.Errorf("%s ends with group %d, and the log begins with group %d: ask again when it has caught up",
				what, at, first)
		}
	}
	return nil
}

// Close lets go of everything that is held.
func (c *Cut) Close() error {
	var errs []error
	if c.log != nil {
		c.log.Close()
	}
	if c.archive != nil {
		c.archive.Close()
	}
	for _, rows := range []*ledger.Instant{c.ledger, c.webhooks} {
		if rows != nil {
			errs = append(errs, rows.Close())
		}
	}
	if c.let != nil {
		c.let()
	}
	if c.checkpoint != nil {
		errs = append(errs, c.checkpoint.Close())
	}
	c.log, c.archive, c.ledger, c.webhooks, c.let, c.checkpoint = nil, nil, nil, nil, nil, nil
	return errors.Join(errs...)
}
