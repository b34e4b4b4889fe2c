package child

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/netstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmselect/promql"
	"github.com/VictoriaMetrics/VictoriaMetrics/app/vmstorage"
	"github.com/VictoriaMetrics/VictoriaMetrics/lib/logger"
	"golang.org/x/sys/unix"
)

// StageOpen is the line on standard output that says that the files are open.
const StageOpen = "open"

// Options says what the child keeps, and how.
type Options struct {
	Path      string        // directory of the storage
	Socket    string        // path of the Unix socket, short enough for one: relative to the working directory
	Retention time.Duration // how long samples are kept, a day at least
	// Resolution: of all samples within such an interval only the last one is kept.
	Resolution time.Duration
	// StaleAfter is how far apart the samples of a living series may be.
	StaleAfter  time.Duration
	CacheBytes  int64  // what caches may take
	FreeBytes   uint64 // no sample is taken while less than that is free on the disk
	ParentInput io.Reader
	Stages      io.Writer
}

// Validate reports every fault at once.
func (o *Options) Validate() error {
	var errs []error
	need := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("history: "+what))
		}
	}
	need(o.Path != "", "a directory is needed")
	need(o.Socket != "" && len(o.Socket) <= unixPathMax, "the socket's path must have 1 to 100 bytes")
	need(o.Retention >= 24*time.Hour, "the retention must be a day at least")
	need(o.Resolution > 0 && o.StaleAfter > 0, "resolution and staleness must be positive")
	need(o.CacheBytes > 0, "the bytes for caches must be positive")
	need(o.ParentInput != nil && o.Stages != nil, "the parent's pipes are needed")
	return errors.Join(errs...)
}

// Run opens the storage, answers until ParentInput ends, and flushes. Damaged files end the process.
func Run(o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	stepBack()
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(heapFactor * o.CacheBytes)
	flag.CommandLine.Init(o.Path, flag.ContinueOnError)
	flag.CommandLine.SetOutput(io.Discard)
	if err := flag.CommandLine.Parse(o.flags()); err != nil {
		return fmt.Errorf("set VictoriaMetrics' flags: %w", err)
	}
	logger.InitNoLogFlags()
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, o.ParentInput) // However it ends, the parent is gone or wants us to go.
		close(ended)
	}()

	vmstorage.Init(queriesMax, answerWithin, promql.ResetRollupResultCacheIfNeeded)
	defer vmstorage.Stop()
	tmp := o.Path + "/tmp"
	if err := errors.Join(os.RemoveAll(tmp), os.MkdirAll(tmp, 0o700)); err != nil {
		return fmt.Errorf("make room for large answers: %w", err)
	}
	netstorage.InitTmpBlocksDir(tmp)
	promql.InitRollupResultCache("") // In memory: a file of it would have to be told of everything that is filled in.
	defer promql.StopRollupResultCache()

	if err := os.Remove(o.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket of the last run: %w", err)
	}
	listener, err := net.Listen("unix", o.Socket)
	if err != nil {
		return fmt.Errorf("listen on %q: %w", o.Socket, err)
	}
	server := &http.Server{Handler: handler(), ReadHeaderTimeout: headerWithin, ErrorLog: logger.StdErrorLogger()}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintln(o.Stages, StageOpen)

	select {
	case <-ended:
	case err := <-served:
		return fmt.Errorf("serve %q: %w", o.Socket, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("end the requests in hand: %w", err), server.Close())
	}
	return nil
}

// flags are VictoriaMetrics' own. They are set in this process alone.
func (o *Options) flags() []string {
	hours := max(24, int64(o.Retention/time.Hour))
	flags := map[string]string{
		"storageDataPath":                    o.Path,
		"retentionPeriod":                    strconv.FormatInt(hours, 10) + "h",
		"dedup.minScrapeInterval":            o.Resolution.String(),
		"memory.allowedBytes":                strconv.FormatInt(o.CacheBytes, 10),
		"storage.minFreeDiskSpaceBytes":      strconv.FormatUint(o.FreeBytes, 10),
		"search.latencyOffset":               "0s", // What was written is shown.
		"search.minStalenessInterval":        o.StaleAfter.String(),
		"search.maxQueryDuration":            answerWithin.String(),
		"search.maxLabelsAPIDuration":        answerWithin.String(),
		"storage.trackMetricNamesStats":      "false",
		"loggerLevel":                        "ERROR",
		"loggerErrorsPerSecondLimit":         "10",
		"loggerWarnsPerSecondLimit":          "10",
		"search.queryStats.lastQueriesCount": "0",
	}
	args := make([]string, 0, len(flags))
	for name, value := range flags {
		args = append(args, "-"+name+"="+value)
	}
	return args
}

// stepBack lets everything else on the machine go first, and be kept when memory runs short. What cannot be set stays
// as it is: in a container neither may be allowed.
func stepBack() {
	_ = unix.Setpriority(unix.PRIO_PGRP, 0, niceness)
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(oomScore)), 0o600)
}
