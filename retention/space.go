package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// SpaceOptions says when there is too little space. A full disk kills the process, since Badger writes through mapped
// files (SIGBUS), so ingest stops while there still is room for what must be written to come to rest.
type SpaceOptions struct {
	StopBytes    uint64 // ingest stops below this; 0: 1 GiB
	ResumeBytes  uint64 // and goes on above this; 0: a quarter more than StopBytes
	BallastBytes uint64 // kept on disk to be given up when opening on a full one; 0: 64 MiB
	OpenBytes    uint64 // what opening may write; 0: 48 MiB, at most BallastBytes
	// Free measures the file system of a path; nil: Free of this package.
	Free func(path string) (uint64, error)
}

func (o *SpaceOptions) fill() {
	if o.StopBytes == 0 {
		o.StopBytes = stopBytesDefault
	}
	if o.ResumeBytes == 0 {
		o.ResumeBytes = o.StopBytes + o.StopBytes/4
	}
	if o.BallastBytes == 0 {
		o.BallastBytes = ballastBytesDefault
	}
	if o.OpenBytes == 0 {
		o.OpenBytes = min(openBytes, o.BallastBytes)
	}
	if o.Free == nil {
		o.Free = Free
	}
}

// Validate reports every fault of the options at once; zeroes stand for defaults.
func (o SpaceOptions) Validate() error {
	o.fill()
	var errs []error
	if o.ResumeBytes < o.StopBytes {
		errs = append(errs, fmt.Errorf("resume at %d bytes free is below stop at %d", o.ResumeBytes, o.StopBytes))
	}
	if o.OpenBytes > o.BallastBytes {
		errs = append(
			errs,
			fmt.Errorf("opening takes %d bytes, the ballast of %d cannot make room for it", o.OpenBytes, o.BallastBytes),
		)
	}
	return errors.Join(errs...)
}

// Free returns the bytes that a process without privileges may still write to the file system of path.
func Free(path string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("measure the free space of %q: %w", path, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// Guard watches the free space of a data directory. Its methods are safe for concurrent use; Stopped and FreeBytes are
// one atomic load each.
type Guard struct {
	path    string
	opts    SpaceOptions
	logger  *slog.Logger
	reserve atomic.Uint64
	free    atomic.Uint64
	stopped atomic.Bool
	mu      sync.Mutex // one Check at a time
	ballast ballast
}

func newGuard(path string, o SpaceOptions, logger *slog.Logger) (*Guard, error) {
	g := &Guard{path: path, opts: o, logger: logger}
	g.ballast = ballast{path: filepath.Join(path, "BALLAST"), bytes: int64(o.BallastBytes)}
	free, err := o.Free(path)
	g.free.Store(free)
	return g, err
}

// makeRoom gives the ballast up if opening would not fit, and refuses to open if it does not help.
func (g *Guard) makeRoom() error {
	free := g.free.Load()
	if free < g.opts.OpenBytes {
		given, err := g.ballast.giveUp()
		if err != nil {
			return err
		}
		if given {
			g.logger.Warn("disk full: ballast given up to open", "path", g.ballast.path, "bytes", g.opts.BallastBytes)
		}
		if free, err = g.opts.Free(g.path); err != nil {
			return err
		}
		if free < g.opts.OpenBytes {
			return fmt.Errorf(
				"data directory %q: %d bytes are free, opening takes up to %d: free at least %d bytes on this file system",
				g.path,
				free,
				g.opts.OpenBytes,
				g.opts.OpenBytes-free,
			)
		}
	}
	return g.Check()
}

// Reserve says how many bytes the next checkpoint will take; ingest stops while it still fits.
func (g *Guard) Reserve(bytes uint64) { g.reserve.Store(bytes) }

// Check measures, stops or resumes, and makes the ballast again when there is room for it. Stopping comes at the
// threshold, resuming a quarter above it, so that the two do not alternate.
func (g *Guard) Check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	free, err := g.opts.Free(g.path)
	if err != nil {
		return err
	}
	g.free.Store(free)
	stop := max(g.opts.StopBytes, addSaturating(g.reserve.Load(), min(flushBytes, g.opts.StopBytes)))
	resume := addSaturating(stop, g.opts.ResumeBytes-g.opts.StopBytes)
	switch stopped := g.stopped.Load(); {
	case !stopped && free < stop:
		g.stopped.Store(true)
		g.logger.Error("disk nearly full: ingest stops", "path", g.path, "free_bytes", free, "stop_bytes", stop)
	case stopped && free >= resume:
		g.stopped.Store(false)
		g.logger.Info("disk has room again: ingest goes on", "path", g.path, "free_bytes", free)
	}
	if free >= addSaturating(resume, g.opts.BallastBytes) {
		return g.ballast.make()
	}
	return nil
}

func addSaturating(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// Run checks every so often until ctx ends. A measurement that fails is reported to failed; the state stays.
func (g *Guard) Run(ctx context.Context, every time.Duration, failed func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := g.Check(); err != nil {
				failed(err)
			}
		}
	}
}

// Stopped reports whether ingest must be refused for want of space.
func (g *Guard) Stopped() bool { return g.stopped.Load() }

// FreeBytes returns what the last Check measured.
func (g *Guard) FreeBytes() uint64 { return g.free.Load() }
