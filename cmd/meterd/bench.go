package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/meterd/meterd/bench"
)

// What --quick measures with, where no flag says otherwise.
const (
	quickDevices  = 100_000
	quickDuration = 5 * time.Second
	quickWarmup   = time.Second
)

func benchCommand() *cobra.Command {
	o := bench.DefaultOptions()
	var tokenFile, out string
	var quick bool
	cmd := &cobra.Command{
		Use:   "bench [scenario…]",
		Short: "Measure the daemon end to end on this machine",
		Long: `Measure the daemon end to end: its own process on a fresh directory, over HTTP, checked to the last event.

Without a scenario a short suite runs, in less than five minutes on two cores; with --full everything, in about fifty.
Yardsticks are left out where they are not installed (make bench-peers installs them). The headline is taken by itself:
meterd bench steady

Scenarios:
` + scenarioList(),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Scenarios = args
			if o.Full && len(args) > 0 {
				return errors.New("--full is a suite of its own: name no scenarios")
			}
			flags := cmd.Flags()
			if quick && !flags.Changed("devices") {
				o.Devices = quickDevices
			}
			if quick && !flags.Changed("duration") {
				o.Duration = quickDuration
			}
			if quick && !flags.Changed("warmup") {
				o.Warmup = quickWarmup
			}
			if err := findDaemon(&o, tokenFile); err != nil {
				return err
			}
			return runBench(cmd.Context(), o, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Program, "binary", "", "the meterd that is measured (default: this one)")
	f.StringVar(&o.Against, "against", "", "another meterd: everything is measured with both, alternating, --rounds times")
	f.StringVar(&o.URL, "url", "", "a running daemon that nobody else uses, http://HOST:PORT (default: one is started)")
	f.StringVar(&tokenFile, "token-file", "", "file with an administrator's token for --url")
	f.StringVar(&o.Product, "product", o.Product, "product to create, with an account of the same name")
	f.StringVar(&o.Dir, "dir", o.Dir, "directory on a real disk in which a fresh data directory is made")
	f.BoolVar(&o.Keep, "keep", false, "leave the data directory")
	f.IntVar(&o.Devices, "devices", o.Devices, "how many devices there are")
	f.BoolVar(&o.Full,
		"full", false, "all scenarios with all settings, which takes about fifty minutes and some 40 GB of disk")
	f.StringSliceVar(&o.Formats, "format", nil, "protobuf, ndjson; several are one case each (default both)")
	f.StringVar(&o.Draw, "draw", o.Draw, "how devices are drawn: uniform or zipf")
	f.IntVar(
		&o.Rounds,
		"rounds",
		o.Rounds,
		"how often each side is measured where two are compared: by --against, or in checkpoint",
	)
	f.IntSliceVar(&o.Batches, "batch", nil, "events a batch; several, comma separated, are one case each")
	f.IntSliceVar(&o.Connections,
		"connections", nil, "connections, each with one batch in flight; several are one case each")
	f.IntSliceVar(&o.Payloads, "payload", nil, "payload bytes an event; several are one case each")
	f.DurationVar(&o.Duration, "duration", o.Duration, "measured window of a case")
	f.DurationVar(&o.Warmup, "warmup", o.Warmup, "what runs before each window")
	f.DurationVar(&o.CheckpointEvery, "checkpoint-every", o.CheckpointEvery, "handed to the daemon that is started")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "what devices, directions and sizes are drawn from")
	f.IntVar(&o.Samples, "samples", o.Samples, "devices that are read back and compared after each step")
	f.IntVar(&o.LogSamples, "log-samples", o.LogSamples, "those among them whose log is compared too")
	f.BoolVar(&quick,
		"quick", false, fmt.Sprintf("%d devices and windows of %s, unless said otherwise", quickDevices, quickDuration))
	f.StringVar(&out, "out", "", "file for the report as JSON (default meterd-bench-TIME.json in the current directory)")
	return cmd
}

func scenarioList() string {
	var b strings.Builder
	for _, s := range bench.Scenarios() {
		fmt.Fprintf(&b, "  %-10s %s\n", s.Name, s.About)
	}
	return b.String()
}

// findDaemon says what is measured: --binary, this very binary, or the daemon at --url.
func findDaemon(o *bench.Options, tokenFile string) error {
	if o.URL == "" {
		if o.Program == "" {
			program, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find the daemon's binary: %w", err)
			}
			o.Program = program
		}
		return nil
	}
	if tokenFile == "" {
		return errors.New("--url needs --token-file")
	}
	secret, err := os.ReadFile(tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	o.Token = strings.TrimSpace(string(secret))
	return nil
}

// runBench runs, shows the table and writes the report, also of a run that failed half way.
func runBench(ctx context.Context, o bench.Options, out string) error {
	ctx, release := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer release()
	o.Progress = os.Stderr
	report, err := bench.Run(ctx, o)
	if report == nil {
		return err
	}
	return errors.Join(err, report.WriteTable(os.Stdout), writeReport(report, out))
}

func writeReport(report *bench.Report, path string) error {
	if path == "" {
		path = "meterd-bench-" + report.At.Format("20060102T150405Z") + ".json"
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	_, _ = fmt.Fprintln(os.Stderr, "report:", path) // What nobody can read is not worth failing for.
	return errors.Join(report.WriteJSON(f), f.Close())
}
