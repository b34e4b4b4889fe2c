package views

import (
	"context"
	"slices"
	"time"
)

// pin is a call that waits for a view to stand at a group.
type pin struct {
	seq uint64
	fn  func(Position) error
	end chan error // gets what fn returned
}

// Pin calls fn when the view stands at exactly the last group that is durable now, and applies nothing to it until fn
// has returned: what fn opens on the view sees that group and nothing later. It never waits for groups that are yet to
// come. It returns ErrLags if the view does not get there in time, and ctx's error if that ends first; fn was not
// called then. Otherwise it returns what fn returned. fn must be short, since the view stands still.
func (r *Runner) Pin(ctx context.Context, view View, fn func(Position) error) error {
	f := r.of(view)
	p := &pin{fn: fn, end: make(chan error, 1)}
	r.mu.Lock()
	p.seq = r.last
	f.pins = append(f.pins, p)
	r.mu.Unlock()
	signal(f.kick)
	timer := time.NewTimer(waitMax)
	defer timer.Stop()
	var err error
	select {
	case err := <-p.end:
		return err
	case <-timer.C:
		err = ErrLags
	case <-ctx.Done():
		err = ctx.Err()
	case <-r.stop:
		err = ErrStopped
	}
	r.mu.Lock()
	at := slices.Index(f.pins, p)
	if at >= 0 {
		f.pins = slices.Delete(f.pins, at, at+1)
	}
	r.mu.Unlock()
	if at < 0 {
		return <-p.end // It is being called.
	}
	return err
}

// callPins makes the calls that wait for the view's position. The view's goroutine calls it.
func (f *follower) callPins() {
	for {
		p := f.nextPin()
		if p == nil {
			return
		}
		p.end <- p.fn(f.view.Position())
	}
}

func (f *follower) nextPin() *pin {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if len(f.pins) == 0 || f.pins[0].seq > f.passed.Load() {
		return nil
	}
	p := f.pins[0]
	f.pins = f.pins[1:]
	return p
}

// limit returns the last group that the view may pass now, at most last. The runner's mu is held.
func (f *follower) limit(last uint64) uint64 {
	if len(f.pins) > 0 {
		return min(last, f.pins[0].seq)
	}
	return last
}
