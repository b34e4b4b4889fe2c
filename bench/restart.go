package bench

import (
	"context"
	"time"
)

// restart stops the daemon with SIGTERM and starts it, sends traffic, kills it with SIGKILL after the last answer, and
// starts it again. Ready means that /readyz answers 200. Each time everything that was acknowledged must be there.
func restart(ctx context.Context, r *run) error {
	t := r.target
	if t.daemon == nil {
		return errNotOurs
	}
	if err := activate(ctx, r); err != nil {
		return err
	}
	stopped, err := t.daemon.stop()
	if err != nil {
		return err
	}
	if err := r.restarted(ctx, &Restart{Signal: "SIGTERM", StopSeconds: stopped.Seconds()}); err != nil {
		return err
	}
	// Start a new process: its first checkpoint is a whole interval away, so that the kill leaves all traffic to be
	// replayed.
	if _, err := t.daemon.stop(); err != nil {
		return err
	}
	if _, err := t.start(ctx); err != nil {
		return err
	}
	c := r.o.cases()[0]
	c.Duration = min(c.Duration, restartTraffic)
	if _, _, err := r.traffic(ctx, t.main, c, &job{what: "restart"}); err != nil {
		return err
	}
	m, err := t.admin.metrics(ctx)
	if err != nil {
		return err
	}
	killed := &Restart{Signal: "SIGKILL", EventsBefore: t.accepted, CheckpointAgeSeconds: m.CheckpointAgeSeconds}
	if err := t.daemon.kill(); err != nil {
		return err
	}
	return r.restarted(ctx, killed)
}

// restarted starts the daemon on its data, measures how long that takes, and verifies its counts.
func (r *run) restarted(ctx context.Context, what *Restart) error {
	t := r.target
	ready, err := t.start(ctx)
	if err != nil {
		return err
	}
	what.ReadySeconds = ready.Seconds()
	now, err := t.probe().snapshot(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	check, err := t.verify(ctx, t.main)
	if err != nil {
		return err
	}
	what.VerifySeconds = time.Since(began).Seconds()
	result := &Result{Scenario: "restart", Restart: what, Check: check, Memory: memoryOf(now)}
	t.perDevice(result.Memory)
	r.add(result)
	return nil
}
