package main

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/usage/history/child"
)

// historyChildName is the hidden command that serve starts of its own binary to keep the usage history.
const historyChildName = "history-child"

func historyChildCommand() *cobra.Command {
	o := child.Options{ParentInput: os.Stdin, Stages: os.Stdout}
	cmd := &cobra.Command{
		Use:    historyChildName,
		Short:  "Keep the usage history for the daemon that started this process",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := child.Run(o); err != nil {
				return fmt.Errorf("keep the history: %w", err)
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Path, "path", "", "directory of the storage")
	f.StringVar(&o.Socket, "socket", "", "path of the Unix socket")
	f.DurationVar(&o.Retention, "retention", 0, "how long samples are kept")
	f.DurationVar(&o.Resolution, "resolution", time.Millisecond, "how far apart samples are kept")
	f.DurationVar(&o.StaleAfter, "stale-after", 20*time.Minute, "how far apart the samples of a living series may be")
	f.Int64Var(&o.CacheBytes, "cache-bytes", 32<<20, "what caches may take")
	f.Uint64Var(&o.FreeBytes, "free-bytes", 1<<30, "free bytes below which no sample is taken")
	return cmd
}
