package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// supervisor keeps the child of one store running.
type supervisor struct {
	name    string
	start   func() (Process, error)
	healthy func(context.Context) error
	// aside moves the store's files out of the way, so that the next child begins with none.
	aside  func() error
	full   func() bool // the disk has no room for a child
	logger *slog.Logger

	// runs is how often a child was started, up is 1 while one answers, pid is its process, 0 without one.
	runs, restarts atomic.Uint64
	up             atomic.Bool
	pid            atomic.Int64
	asides         atomic.Uint64
}

var (
	errHangs   = errors.New("it does not answer; it was killed")
	errNotOpen = errors.New("it did not open its files in time; it was killed")
)

// run starts the child again and again until ctx ends, then ends it.
func (s *supervisor) run(ctx context.Context) {
	pause, failures := restartMin, 0
	for {
		if s.full() {
			if !sleep(ctx, restEvery) {
				return
			}
			continue
		}
		began := time.Now()
		opened, faulted, err := s.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue // It was ended for want of room.
		}
		lived := time.Since(began)
		s.restarts.Add(1)
		if lived >= soundAfter {
			pause, failures = restartMin, 0
		}
		if faulted {
			failures++
		}
		s.logger.Error(
			"the child that keeps the history has ended; it is started again, enforcement goes on",
			"store",
			s.name,
			"lived_seconds",
			lived.Seconds(),
			"opened",
			opened,
			"again_in_seconds",
			pause.Seconds(),
			"error",
			err,
		)
		if failures >= openFailsMax && !s.full() {
			failures = 0
			s.moveAside()
		}
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, restartMax)
	}
}

func (s *supervisor) moveAside() {
	if err := s.aside(); err != nil {
		s.logger.Error("the files of the history cannot be moved aside", "store", s.name, "error", err)
		return
	}
	s.asides.Add(1)
	s.logger.Error(
		"the child that keeps the history ends again and again: its files are taken for damaged and were moved "+
			"aside; the history is filled again from the ledger",
		"store",
		s.name,
	)
}

// once starts a child and stays with it until it has ended. It returns no error if the child was told to end, and
// whether its files may be the reason that it has.
func (s *supervisor) once(ctx context.Context) (opened, faulted bool, err error) {
	p, err := s.start()
	if err != nil {
		return false, false, fmt.Errorf("start it: %w", err)
	}
	s.runs.Add(1)
	s.pid.Store(int64(p.PID()))
	defer func() {
		s.up.Store(false)
		s.pid.Store(0)
	}()
	select {
	case <-p.Opened():
	case <-p.Ended():
		return false, p.Faulted(), ended(p)
	case <-time.After(openWithin):
		return false, true, s.kill(p, errNotOpen)
	case <-ctx.Done():
		return false, false, s.end(p)
	}
	s.up.Store(true)
	ticker := time.NewTicker(healthEvery)
	defer ticker.Stop()
	for fails := 0; ; {
		select {
		case <-p.Ended():
			return true, p.Faulted(), ended(p)
		case <-ctx.Done():
			return true, false, s.end(p)
		case <-ticker.C:
		}
		if s.full() {
			s.logger.Warn("the disk is nearly full: the child that keeps the history ends until there is room", "store", s.name)
			return true, false, s.end(p)
		}
		look, cancel := context.WithTimeout(ctx, healthWithin)
		err := s.healthy(look)
		cancel()
		if err == nil {
			fails = 0
		} else if fails++; fails == healthFailsMax {
			return true, false, s.kill(p, fmt.Errorf("%w: %w", errHangs, err))
		}
		s.up.Store(fails == 0)
	}
}

func ended(p Process) error {
	if err := p.Err(); err != nil {
		return err
	}
	return errors.New("it ended by itself")
}

func (s *supervisor) kill(p Process, why error) error {
	p.Kill()
	<-p.Ended()
	return why
}

// end lets the child flush, within bounds.
func (s *supervisor) end(p Process) error {
	p.End()
	select {
	case <-p.Ended():
	case <-time.After(endWithin):
		p.Kill()
		<-p.Ended()
	}
	return nil
}

// sleep reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
