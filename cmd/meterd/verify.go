package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/retention/disk"
	"github.com/meterd/meterd/usage/verify"
)

// verifyOptions are the flags of verify.
type verifyOptions struct{ data, snapshot, scratch string }

func verifyCommand() *cobra.Command {
	o := &verifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify --data DIR",
		Short: "Recount a data directory from its raw log",
		Long: `Recount from the raw log what counters, pools, totals, the ledger's rows and sealed snapshots claim, with a
decoder that shares no code with the daemon's, and print the first difference, or that there is none. Nothing in the
directory is changed. What the log has let go of cannot be recounted; the report says what that is.

A running daemon's directory can be verified too: it is read up to the group that is the last one now, and the daemon
goes on. So can a copy of it: copy log/ last, and copy again if the ledger in it cannot be opened.

It needs about 130 bytes of memory a device, and room for a copy of the ledger under --scratch.

Exit status: 0 no difference, 1 a difference, 2 it could not be verified.`,
		Example: "  meterd verify --data /var/lib/meterd\n  meterd verify --data COPY --snapshot s00000007",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return verifyError{err}
			}
			return verifyDirectory(o, cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "./data", "data directory, of a daemon that runs or not, or a copy of one")
	f.StringVar(&o.snapshot, "snapshot", "", "id of the only snapshot to look at; without, all are")
	f.StringVar(&o.scratch, "scratch", "", "where a copy of the ledger lies meanwhile; without, the system's place for it")
	return cmd
}

// verifyError says that a directory could not be verified.
type verifyError struct{ err error }

func (e verifyError) Error() string { return e.err.Error() }
func (e verifyError) Unwrap() error { return e.err }

// errDiffers ends the process with 1; the difference was printed.
var errDiffers = errors.New("the data directory differs from its log")

func verifyDirectory(o *verifyOptions, out io.Writer) (err error) {
	dir, err := disk.ReadDir(o.data)
	if err != nil {
		return verifyError{err}
	}
	defer dir.Close()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	report, err := verify.Run(verify.Options{
		Dir: dir, Snapshots: os.DirFS(dir.SnapshotsPath()), Snapshot: o.snapshot, Scratch: o.scratch, Logger: logger,
	})
	if err != nil {
		return verifyError{fmt.Errorf("verify %s: %w", o.data, err)}
	}
	printReport(out, report)
	if report.Difference != nil {
		return errDiffers
	}
	return nil
}

func printReport(out io.Writer, r *verify.Report) {
	f := &r.Figures
	line := func(name string, format string, a ...any) {
		fmt.Fprintf(out, "%-12s %s\n", name, fmt.Sprintf(format, a...))
	}
	line("groups", "%d, from %d to %d", f.Groups, f.FirstGroup, f.LastGroup)
	line("events", "%d, %.1f million a second", f.Events, float64(f.Events)/max(f.Took.Seconds(), 1e-9)/1e6)
	line("products", "%d, %d administrative changes", f.Products, f.Changes)
	line("devices", "%d", f.Devices)
	line("device-days", "%d ended, in %d days of products; %d closed words", f.DeviceDays, f.DayEnds, f.ClosedWords)
	line("licences", "%d consumed, %d ended", f.Licenses, f.Ends)
	line("upgrades", "%d", f.Upgrades)
	line("totals", "%d equal to the recount, %d taken as said", f.Totals, f.TotalsTaken)
	line("checkpoint", "%d words, %d pools within the recount; %d words taken as said", f.Words, f.Pools, f.WordsTaken)
	line("ledger", "%d rows", f.LedgerRows)
	line("snapshots", "%d", f.Snapshots)
	line("took", "%s", f.Took.Round(time.Millisecond))
	for _, what := range r.Not {
		line("not recounted", "%s", what)
	}
	if r.Difference != nil {
		fmt.Fprintln(out, "DIFFERENCE  ", r.Difference)
	} else {
		fmt.Fprintln(out, "no difference")
	}
}
