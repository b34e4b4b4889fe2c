package disk

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Guard watches the free space of a data directory. The less there is, the more must stop:
//
//	          free space
//	─────────────────────────  Low         nothing is prepared ahead of need, and the ledger gives no space back
//	─────────────────────────  Stopped     events are refused
//	      changes of administration, then
//	─────────────────────────  Exhausted   administration is refused, too, and the ledger rests
//	      the archive's runs, which free the log's segments
//	      the next checkpoint and what else must be written to come to rest
//	─────────────────────────  nothing
//
// Its methods are safe for concurrent use; Low, Stopped, Exhausted and FreeBytes are one atomic load each.
type Guard struct {
	path                 string
	opts                 SpaceOptions
	logger               *slog.Logger
	reserve              atomic.Uint64
	free                 atomic.Uint64
	low, stop, exhausted level
	mu                   sync.Mutex // one Check at a time; guards the rest
	ballast              ballast
	ballastErr           error     // of the last try to make it
	ballastAgain         time.Time // not tried before
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

// Check measures, moves the levels, and makes the ballast again when there is room for it. A ballast that cannot be
// made is no error: it is logged and tried again.
func (g *Guard) Check() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	free, err := g.opts.Free(g.path)
	if err != nil {
		return err
	}
	g.free.Store(free)
	t := g.opts.thresholds(g.reserve.Load())
	if changed, low := g.low.move(free, t.low, t.lowEnds); changed {
		g.tell(low, slog.LevelWarn, "disk filling up: nothing is prepared ahead of need, the ledger gives no space back",
			"disk has room again: the ledger gives space back", t.low)
	}
	if changed, stopped := g.stop.move(free, t.stop, t.stopEnds); changed {
		g.tell(stopped, slog.LevelError, "disk nearly full: ingest stops", "disk has room again: ingest goes on", t.stop)
	}
	if changed, exhausted := g.exhausted.move(free, t.exhausted, t.exhaustedEnds); changed {
		g.tell(exhausted, slog.LevelError, "disk full but for a checkpoint and a restart: administration and the ledger stop",
			"disk has room again: administration and the ledger go on", t.exhausted)
	}
	if free >= addSaturating(t.stopEnds, g.opts.BallastBytes) {
		g.makeBallast()
	}
	return nil
}

// makeBallast makes the ballast unless it is there or was tried in vain a short time ago. g.mu is held.
func (g *Guard) makeBallast() {
	now := time.Now()
	if now.Before(g.ballastAgain) {
		return
	}
	before := g.ballastErr
	g.ballastErr = g.ballast.make()
	switch {
	case g.ballastErr != nil:
		g.ballastAgain = now.Add(ballastRetryAfter)
		g.logger.Error("the ballast cannot be made; without it a start on a full disk may be refused; it is tried again",
			"error", g.ballastErr)
	case before != nil:
		g.logger.Info("the ballast is made", "path", g.ballast.path)
	}
}

func (g *Guard) tell(begins bool, severity slog.Level, begin, end string, thresholdBytes uint64) {
	message := begin
	if !begins {
		severity, message = slog.LevelInfo, end
	}
	g.logger.Log(context.Background(), severity, message,
		"path", g.path, "free_bytes", g.free.Load(), "threshold_bytes", thresholdBytes)
}

// thresholds are what each level begins below, and ends at, in bytes of free space.
type thresholds struct {
	low, lowEnds, stop, stopEnds, exhausted, exhaustedEnds uint64
}

// thresholds returns the levels when the next checkpoint takes reserve bytes. Between stopping and exhaustion lies half
// of what is kept for coming to rest, at least.
func (o *SpaceOptions) thresholds(reserve uint64) (t thresholds) {
	flush := min(flushBytes, o.StopBytes)
	hysteresis := o.ResumeBytes - o.StopBytes
	t.stop = max(o.StopBytes, addSaturating(reserve, flush))
	t.stopEnds = addSaturating(t.stop, hysteresis)
	t.low = addSaturating(t.stop, t.stop/4)
	t.lowEnds = addSaturating(t.low, hysteresis)
	t.exhausted = max(o.StopBytes/2, addSaturating(reserve, flush/2))
	t.exhaustedEnds = t.exhausted + (t.stop-t.exhausted)/2
	return t
}

// level is a threshold that was, or was not, fallen below.
type level struct{ below atomic.Bool }

// move begins the level below begins, ends it at ends or more, and reports whether it has changed, and what it is now.
func (l *level) move(free, begins, ends uint64) (changed, below bool) {
	below = l.below.Load()
	switch {
	case !below && free < begins:
		below = true
	case below && free >= ends:
		below = false
	default:
		return false, below
	}
	l.below.Store(below)
	return true, below
}

func addSaturating(a, b uint64) uint64 {
	if a+b < a {
		return ^uint64(0)
	}
	return a + b
}

// Run checks every so often until ctx ends. While the space cannot be measured the levels stay as they are; when that
// has lasted for measureFailsMax, failed is told and Run ends.
func (g *Guard) Run(ctx context.Context, every time.Duration, failed func(error)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var since time.Time // of the first measurement that failed; zero: none
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := g.Check()
		switch {
		case err == nil && !since.IsZero():
			since = time.Time{}
			g.logger.Info("the free space can be measured again", "path", g.path)
		case err == nil:
		case since.IsZero():
			since = time.Now()
			g.logger.Error("the free space cannot be measured; it is tried again", "error", err)
		case time.Since(since) >= measureFailsMax:
			failed(fmt.Errorf("for %v: %w", measureFailsMax, err))
			return
		}
	}
}

// Low reports whether what can wait must wait: files made ahead of need, the ledger's upkeep. Events come first.
func (g *Guard) Low() bool { return g.low.below.Load() }

// Room reports whether so many bytes more can be written by what can wait, such that Low is not reached. It measures
// now, since what is written fast has filled the disk before the next Check.
func (g *Guard) Room(bytes uint64) bool {
	free, err := g.opts.Free(g.path)
	return err == nil && !g.Low() && free >= addSaturating(g.opts.thresholds(g.reserve.Load()).low, bytes)
}

// Stopped reports whether ingest must be refused for want of space.
func (g *Guard) Stopped() bool { return g.stop.below.Load() }

// Exhausted reports whether administration must be refused and the ledger rest, too: what is left is for the next
// checkpoint and a restart.
func (g *Guard) Exhausted() bool { return g.exhausted.below.Load() }

// ArchiveRoom returns how many bytes the archive may write. It goes on while others rest, for what it writes lets
// segments of the log go: it leaves half of what administration leaves.
func (g *Guard) ArchiveRoom() uint64 {
	free, err := g.opts.Free(g.path)
	if err != nil {
		free = g.free.Load()
	}
	keep := g.opts.thresholds(g.reserve.Load()).exhausted / 2
	return free - min(free, keep)
}

// FreeBytes returns what the last Check measured.
func (g *Guard) FreeBytes() uint64 { return g.free.Load() }

// StopBytes returns the free bytes below which ingest is refused.
func (g *Guard) StopBytes() uint64 { return g.opts.thresholds(g.reserve.Load()).stop }
