package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/meterd/meterd/license/calendar"
	"github.com/meterd/meterd/usage/history"
	"github.com/meterd/meterd/usage/snapshot/export"
	"github.com/meterd/meterd/usage/snapshot/sealed"
)

// serveOptions are the flags of serve, as the contract names them.
type serveOptions struct {
	data, listen, zone, region   string
	retention, usageRetention    time.Duration
	snapshotKeep                 time.Duration
	eraseWithin, scrubEvery      time.Duration
	checkpointEvery              time.Duration
	drain                        time.Duration
	tlsCert, tlsKey, tlsClientCA string
	insecure, demo               bool
	webhookAllowPrivate          bool
	acceptViewGap                bool
	usageHistory                 bool
	usageURL                     string
	diskStopBytes, logMaxBytes   uint64
	snapshotAt, exportTo         string
	logPayload                   string
	cluster                      clusterOptions
}

// retentionMin is the shortest log retention: a segment is not ended by its age before a second has passed.
const retentionMin = time.Second

// logMaxBytesMin and logMaxBytesMax bound --log-max-bytes: under a mebibyte not even a quiet hour stays, and file sizes
// have 63 bits.
const (
	logMaxBytesMin = 1 << 20
	logMaxBytesMax = math.MaxInt64
)

// eraseWithinMin is the shortest time to promise that erased payloads are off the disk: directories are looked at every
// quarter of a second at best.
const eraseWithinMin = time.Second

// Of --erase-within a twelfth is for rewriting, and at least eraseEndChecks times --checkpoint-every: one until the log
// sees that it is due, one until a checkpoint lets segments go, the rest for views and disk to be late. Erasures gather
// before, for eraseWithinChecks-eraseEndChecks times at least, so that they go together.
const (
	eraseWithinDefault = 24 * time.Hour
	eraseParts         = 12
	eraseEndChecks     = 4
	eraseWithinChecks  = 6
)

// eraseAfter returns how long erasures gather, at least a third of --erase-within.
func (o *serveOptions) eraseAfter() time.Duration {
	checkpoint := min(o.checkpointEvery, o.eraseWithin/eraseWithinChecks)
	return o.eraseWithin - max(o.eraseWithin/eraseParts, eraseEndChecks*checkpoint)
}

// logRetentionDefault is how long the raw log is kept (R18).
const logRetentionDefault = 168 * time.Hour

// Of --scrub-every the default finds what went bad on the disk within a day, before a retention has many such files;
// the least is for trying it.
const (
	scrubEveryDefault = 24 * time.Hour
	scrubEveryMin     = time.Second
)

// usageRetentionMin is the shortest usage retention: a forecast looks back four weeks.
const usageRetentionMin = 28 * 24 * time.Hour

// usageRetentionDefault is thirteen months: the same month of last year can be looked at until this one is over.
const usageRetentionDefault = 9480 * time.Hour

// snapshotKeepDefault is three months: a bill is disputed within them, and its days looked at.
const snapshotKeepDefault = 2208 * time.Hour

func serveCommand() *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the daemon",
		Long: "Run the daemon. Every flag can also be given as METERD_<FLAG>, for example METERD_LOG_RETENTION; a flag " +
			"beats the environment.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd.Flags()); err != nil {
				return err
			}
			if err := o.validate(); err != nil {
				return err
			}
			return runServe(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "./data", "data directory, made if it is missing")
	f.StringVar(&o.listen, "listen", "127.0.0.1:8480", "address; one that is not loopback needs TLS or --insecure")
	f.StringVar(&o.zone, "time-zone", "UTC", "IANA name or ±HH:MM, given to products that name none")
	f.StringVar(&o.region, "region", "default", "this data centre; fixed at the first start")
	f.DurationVar(&o.retention, "log-retention", logRetentionDefault, "how long the raw log is kept")
	f.Uint64Var(
		&o.logMaxBytes, "log-max-bytes", 0,
		"bytes of archived raw log above which the oldest goes before its time, once the ledger has counted it (0: never)",
	)
	f.StringVar(
		&o.logPayload, "log-payload", logPayloadFull,
		"how much of each payload is logged: full, none, or so many bytes from its beginning",
	)
	f.DurationVar(
		&o.eraseWithin, "erase-within", eraseWithinDefault,
		"how soon erased payloads of device logs are off the disk; under a day at least 6 times --checkpoint-every; nobody "+
			"reads them from the call on",
	)
	f.DurationVar(
		&o.scrubEvery,
		"scrub-every",
		scrubEveryDefault,
		"how often raw log, archive, ledger and queues of webhooks are read in the background and proved, to notice "+
			"a disk that goes bad (0: never)",
	)
	f.DurationVar(
		&o.usageRetention, "usage-retention", usageRetentionDefault,
		"how long usage of a calendar month is kept after its end",
	)
	f.DurationVar(
		&o.checkpointEvery,
		"checkpoint-every",
		10*time.Second,
		"shortest time between two flushes of counter and licence state; at most a fourteenth of --log-retention",
	)
	f.DurationVar(&o.drain, "drain", 0, "how long events are still taken after SIGTERM while /readyz answers 503")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate file for HTTPS, reloaded when it changes")
	f.StringVar(&o.tlsKey, "tls-key", "", "key file for HTTPS")
	f.StringVar(&o.tlsClientCA, "tls-client-ca", "", "certificates that clients must be signed by (mutual TLS)")
	f.StringVar(
		&o.snapshotAt, "snapshot-at", "daily,monthly",
		"when sealed snapshots of all accounts are made by themselves, after the day or month is over in every product's "+
			"time zone: daily, monthly, both with a comma, or none",
	)
	f.DurationVar(
		&o.snapshotKeep, "snapshot-keep", snapshotKeepDefault,
		"how long the daily snapshots that --snapshot-at makes are kept, once the final one of their month is sealed (0: "+
			"for ever)",
	)
	f.StringVar(
		&o.exportTo,
		"export-to",
		"",
		"where each sealed snapshot is brought to: an absolute path that exists, or s3://BUCKET/PREFIX with "+
			"AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
	)
	f.BoolVar(
		&o.acceptViewGap, "accept-view-gap", false,
		"go on although the ledger lacks groups that are gone from the log; what it shows begins behind them",
	)
	f.BoolVar(&o.usageHistory, "usage-history", true, "keep the usage history, which PromQL and Grafana look at")
	f.StringVar(
		&o.usageURL, "usage-url", "",
		"VictoriaMetrics that keeps the usage history, such as http://HOST:8428; without it child processes do",
	)
	f.BoolVar(
		&o.webhookAllowPrivate, "webhook-allow-private", false,
		"let webhooks reach addresses that are not of the public internet: loopback, private, link-local, metadata",
	)
	f.BoolVar(&o.insecure, "insecure", false, "listen on an address that is not loopback without TLS")
	f.BoolVar(
		&o.demo, "demo", false,
		"make a week of history in a new data directory, once; then have its devices go on, and print a link to sign in",
	)
	f.Uint64Var(
		&o.diskStopBytes,
		"disk-stop-bytes",
		0,
		"free bytes below which ingest stops (0: 1 GiB, and what a checkpoint needs)",
	)
	o.cluster.flags(f)
	return cmd
}

// fromEnvironment sets every flag that was not given from METERD_<FLAG>.
func fromEnvironment(flags *pflag.FlagSet) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "METERD_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, given := os.LookupEnv(name)
		if f.Changed || !given {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	})
	return errors.Join(errs...)
}

// validate reports every fault at once.
func (o *serveOptions) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	host, _, err := net.SplitHostPort(o.listen)
	switch {
	case err != nil:
		fault("--listen %q: must be HOST:PORT", o.listen)
	case !loopback(host) && o.tlsCert == "" && !o.insecure:
		fault(
			"--listen %s is not a loopback address: give --tls-cert and --tls-key, or --insecure if something in front encrypts",
			o.listen,
		)
	}
	if _, err := calendar.ParseZone(o.zone); err != nil {
		fault("--time-zone %q: %w", o.zone, err)
	}
	if o.retention < retentionMin {
		fault("--log-retention %s: must be at least %s", o.retention, retentionMin)
	}
	if o.logMaxBytes != 0 && (o.logMaxBytes < logMaxBytesMin || o.logMaxBytes > logMaxBytesMax) {
		fault("--log-max-bytes %d: must be 0, or %d to %d", o.logMaxBytes, logMaxBytesMin, uint64(logMaxBytesMax))
	}
	if _, err := logPayloadBytes(o.logPayload); err != nil {
		fault("--log-payload %q: %w", o.logPayload, err)
	}
	if o.eraseWithin < eraseWithinMin {
		fault("--erase-within %s: must be at least %s", o.eraseWithin, eraseWithinMin)
	}
	// Who hardly wants checkpoints need not know of erasures: then they take as long as a checkpoint does.
	if o.eraseWithin < eraseWithinDefault && o.eraseWithin/eraseWithinChecks < o.checkpointEvery {
		fault(
			"--erase-within %s: must be at least %s, %d times --checkpoint-every: files go after checkpoints",
			o.eraseWithin, eraseWithinChecks*o.checkpointEvery, eraseWithinChecks,
		)
	}
	if o.scrubEvery != 0 && o.scrubEvery < scrubEveryMin {
		fault("--scrub-every %s: must be 0 or at least %s", o.scrubEvery, scrubEveryMin)
	}
	if o.usageRetention < usageRetentionMin {
		fault("--usage-retention %s: must be at least %s", o.usageRetention, usageRetentionMin)
	}
	if o.snapshotKeep < 0 {
		fault("--snapshot-keep %s: must not be negative; 0 keeps snapshots for ever", o.snapshotKeep)
	}
	if o.checkpointEvery <= 0 {
		fault("--checkpoint-every %s: must be positive", o.checkpointEvery)
	}
	if o.usageURL != "" {
		if err := history.ValidURL(o.usageURL); err != nil {
			fault("--usage-url: %w", err)
		}
	}
	if _, err := sealed.ParseSchedule(o.snapshotAt); err != nil {
		fault("--snapshot-at %q: %w", o.snapshotAt, err)
	}
	if o.exportTo != "" {
		if _, err := export.ParsePlace(o.exportTo, os.Getenv); err != nil {
			fault("--export-to %q: %w", o.exportTo, err)
		}
	}
	errs = append(errs, o.cluster.validate()...)
	if o.cluster.name != "" && o.demo {
		fault("--demo makes a history of its own: start it without --cluster")
	}
	if o.drain < 0 {
		fault("--drain %s: must not be negative", o.drain)
	}
	if (o.tlsCert == "") != (o.tlsKey == "") {
		fault("--tls-cert and --tls-key belong together")
	}
	if o.tlsClientCA != "" && o.tlsCert == "" {
		fault("--tls-client-ca needs --tls-cert and --tls-key")
	}
	return errors.Join(errs...)
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// gcPercent is how much garbage may gather, in percent of what is alive, before it is collected. Devices lie outside
// the heap; what is in it are buffers, mostly without pointers, that take a millisecond to mark, so it is collected
// twice as often as by default and the heap of a loaded daemon stays under 100 MiB.
const gcPercent = 50

// boundGarbage sets the pace of the garbage collector, unless the operator has.
func boundGarbage() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}

// runServe runs a daemon until it is told to stop or cannot go on.
func runServe(ctx context.Context, o *serveOptions) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, release := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer release()
	boundGarbage()
	if o.cluster.name != "" {
		return runNode(ctx, o, logger)
	}
	d, err := openDaemon(ctx, o, logger)
	if errors.Is(err, errDemoStopped) {
		logger.Info(errDemoStopped.Error())
		return nil
	}
	if err != nil {
		return err
	}
	if err := d.startDemo(os.Stdout); err != nil {
		return errors.Join(err, d.close())
	}
	select {
	case <-ctx.Done():
		release() // A second signal ends the process at once.
		return d.stop(o.drain)
	case <-d.failed():
		// Nobody gets an answer any more; a disk that failed once is not asked again. Recovery will find everything
		// acknowledged.
		return fmt.Errorf("the daemon cannot go on: %w", d.err())
	}
}
