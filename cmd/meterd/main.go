package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the build: -ldflags "-X main.version=…".
var version = "dev"

func main() {
	root := &cobra.Command{
		Use:           "meterd",
		Short:         "Meters and licenses the devices of an IoT platform",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(
		serveCommand(), historyChildCommand(), ctlCommand(), tokenCommand(), benchCommand(), verifyCommand(), backupCommand(),
		restoreCommand(),
	)
	markUsage(root)
	if cmd, err := root.ExecuteC(); err != nil {
		fmt.Fprintln(os.Stderr, "meterd:", err)
		if errors.As(err, new(usageError)) {
			fmt.Fprintf(os.Stderr, "See `%s --help`.\n", cmd.CommandPath())
		}
		os.Exit(exitCode(err))
	}
}
