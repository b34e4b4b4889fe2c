package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	cmd := newCommand(log)
	err := cmd.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mqtt-gateway:", err)
		os.Exit(1)
	}
}

// newCommand returns the command line: parse, check, run until the context ends.
func newCommand(log *slog.Logger) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "mqtt-gateway",
		Short: "An MQTT broker whose devices are metered by meterd",
		Long: "An MQTT broker that asks meterd about every connect, message and delivery of its devices.\nEvery " +
			"flag can also be given as METERD_GATEWAY_<FLAG>; a flag beats the environment.",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return err
			}
			return o.resolve()
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), &o, log, nil) },
	}
	o.flags(cmd.Flags())
	return cmd
}
