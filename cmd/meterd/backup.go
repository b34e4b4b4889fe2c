package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/backup"
	"github.com/meterd/meterd/retention/archive"
	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/retention/ledger"
	"github.com/meterd/meterd/shard/views"
)

// files are what a state keeps on the disk, as who copies them needs it.
type files struct {
	archive          *archive.Store
	ledger, webhooks *ledger.Store
	checkpoints      *disk.Checkpoints
}

// backupSource returns what a backup copies.
func (d *daemon) backupSource() *backup.Source {
	s := d.state
	pinned := func(view views.View, store *ledger.Store) func(context.Context) (*ledger.Instant, error) {
		return func(ctx context.Context) (at *ledger.Instant, err error) {
			err = s.engine.Pin(ctx, view, func() (err error) {
				at, err = store.OpenInstant()
				return err
			})
			return at, err
		}
	}
	return &backup.Source{
		Dir: d.dir, Log: s.log, Checkpoints: s.files.checkpoints, Archive: s.files.archive,
		Ledger: pinned(s.ledger, s.files.ledger), Webhooks: pinned(s.webhooks, s.files.webhooks),
		Snapshots: d.snapshots.Hold, Low: d.dir.Guard().Low,
		Seed: s.seed, Version: version,
	}
}

func backupCommand() *cobra.Command {
	c := &ctl{}
	var to string
	var cell int
	cmd := &cobra.Command{
		Use:   "backup --to DIR|s3://BUCKET/PREFIX",
		Short: "Copy the data directory of a running daemon",
		Long: `Copy the data directory of a running daemon, as of one instant, to a directory or to S3. Events go on
meanwhile. What was acknowledged before the call is in it. The place must be empty. manifest.json comes last, with the
size and the SHA-256 of each file: a copy without it is none, and if anything fails, what was copied is removed again.
Damaged directories of the archive are copied as they are, since the rest is worth a backup: manifest.json names them,
and the exit code is 1 although the backup is made.

It needs the token of an administrator, from METERD_TOKEN or --token-file. S3 needs AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION and, if it is not Amazon's, AWS_ENDPOINT_URL, as --export-to does.`,
		Example: `  meterd backup --token-file data/admin.token --to /backups/2026-11-27
  meterd backup --url https://meterd:8480 --to s3://backups/meterd/2026-11-27`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.output = asTable
			if err := c.resolve(); err != nil {
				return err
			}
			place, err := backup.ParsePlace(to, os.Getenv)
			if err != nil {
				return usageError{fmt.Errorf("--to %q: %w", to, err)}
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			return c.backup(ctx, place, to, cell, cmd.OutOrStdout())
		},
	}
	c.flags = cmd.Flags()
	c.connectionFlags()
	c.flags.IntVar(&cell, "cell", 0, "of a cluster, the cell that is copied")
	c.flags.StringVar(&to, "to", "", "where to: a directory, empty or to be made, or s3://BUCKET/PREFIX")
	return cmd
}

// untilSignal returns a context that ends with the first signal to end the process, so that nothing half is left.
func untilSignal(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

// backup reads a copy from the daemon and puts it to a place.
func (c *ctl) backup(ctx context.Context, place backup.Place, to string, cell int, out io.Writer) error {
	there, err := place.First(ctx)
	if err != nil {
		return err
	}
	if there != "" {
		return fmt.Errorf("%s is not empty, it has %q: name another place for each backup", to, there)
	}
	admin, err := c.admin()
	if err != nil {
		return err
	}
	defer admin.Close()
	began := time.Now()
	m, err := receive(ctx, admin, url.Values{"cell": {strconv.Itoa(cell)}}, place)
	if err != nil {
		return fmt.Errorf("back up to %s: %w", to, c.explain(err))
	}
	took := time.Since(began)
	_, err = fmt.Fprintf(out, "group %d, decided up to %s\n%d files, %d bytes in %s\n", m.Group,
		time.UnixMilli(m.AsOfMs).UTC().Format(time.RFC3339), len(m.Files), m.Bytes(), took.Round(time.Millisecond))
	if err == nil && len(m.Damaged) > 0 {
		return fmt.Errorf("the backup is made, but %q of the data directory are damaged, and so they are in the backup: "+
			"look at the daemon's disk, and keep older backups; docs/operating.md says more at \"The archive fails\"", m.Damaged)
	}
	return err
}

func restoreCommand() *cobra.Command {
	var from, data string
	cmd := &cobra.Command{
		Use:   "restore --from DIR|s3://BUCKET/PREFIX --data DIR",
		Short: "Make a data directory of a backup",
		Long: `Make a data directory of what meterd backup has made. The directory must be empty or missing. Every file is
proved by its size and SHA-256; a backup that is damaged or not whole is refused with the file's name, and
nothing is left.

A daemon on the restored directory does not know what happened after the backup: docs/operating.md says what follows.`,
		Example: "  meterd restore --from /backups/2026-11-27 --data /var/lib/meterd\n  meterd verify --data /var/lib/meterd",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			place, err := backup.ParsePlace(from, os.Getenv)
			if err != nil {
				return usageError{fmt.Errorf("--from %q: %w", from, err)}
			}
			ctx, stop := untilSignal(cmd.Context())
			defer stop()
			began := time.Now()
			m, err := backup.Restore(ctx, place, data)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "group %d, decided up to %s, of region %s\n%d bytes in %s\n", m.Group,
				time.UnixMilli(m.AsOfMs).UTC().Format(time.RFC3339), m.Region, m.Bytes(),
				time.Since(began).Round(time.Millisecond))
			if err == nil && len(m.Damaged) > 0 {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "DAMAGED when the backup was made: %q\n", m.Damaged)
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "where the backup is: a directory, or s3://BUCKET/PREFIX")
	f.StringVar(&data, "data", "./data", "data directory to be made")
	return cmd
}
