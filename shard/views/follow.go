package views

import (
	"errors"
	"fmt"
	"time"
)

// run follows the log until the runner is closed, and then applies a bounded part of what is durable.
func (f *follower) run() {
	tick := time.NewTicker(gatherFor)
	defer tick.Stop()
	for stopped := false; ; {
		err := f.catchUp(stopped)
		if err != nil {
			f.r.o.Logger.Error("a view cannot follow the log; it holds the log's segments until it can",
				"view", f.view.Name(), "error", err)
			if f.r.o.Failed != nil {
				f.r.o.Failed(f.view, err)
			}
		}
		f.failed.Store(err != nil)
		if stopped {
			return
		}
		var rest <-chan time.Time
		if err != nil {
			rest = time.After(retryAfter)
		}
		stopped = f.wait(tick.C, rest)
	}
}

// wait returns when there may be something to apply, or true when the runner is closed. A view that failed rests first.
func (f *follower) wait(tick, rest <-chan time.Time) (stopped bool) {
	if rest != nil {
		select {
		case <-rest:
			return false
		case <-f.r.stop:
			return true
		}
	}
	select {
	case <-tick:
		return false
	case <-f.kick:
		return false
	case <-f.r.stop:
		return true
	}
}

// catchUp applies everything that is durable now, unless the disk lacks the room for it. Once the runner is closed it
// leaves what is more than a little to the next start.
func (f *follower) catchUp(stopped bool) error {
	for left := closeAppliesMax; ; left-- {
		f.callPins()
		if f.reader != nil {
			return f.readLog(stopped)
		}
		if f.rests() || !stopped && f.r.stopped() {
			return nil // If the runner is closed, run calls once more, with the bound.
		}
		groups, err := f.next()
		if err != nil || len(groups) == 0 {
			return err
		}
		if stopped && left <= 0 {
			f.r.o.Logger.Warn("a view has not caught up; the next start goes on",
				"view", f.view.Name(), "reached_group", f.passed.Load())
			return nil
		}
		err = f.applier.Apply(groups, f.r.o.Devices)
		if at := f.view.Position().Seq; at >= groups[0].Seq { // It may have come a part of the way.
			f.advance(at, groups[at-groups[0].Seq].LastMs)
		}
		if err != nil {
			return fmt.Errorf("apply groups %d to %d: %w", groups[0].Seq, groups[len(groups)-1].Seq, err)
		}
	}
}

// readLog has a view read what is durable. Once the runner is closed nothing more is read: the next start goes on.
func (f *follower) readLog(stopped bool) error {
	if stopped {
		return nil
	}
	f.r.mu.Lock()
	last := f.limit(f.r.last)
	f.r.mu.Unlock()
	err := f.reader.Follow(f.r.ctx, last, f.r.o.Devices)
	if at := f.view.Position().Seq; at > f.passed.Load() {
		f.advance(at, f.reader.PositionMs())
	}
	if f.r.ctx.Err() != nil {
		return nil
	}
	return errors.Join(err, f.readBegin()) // It may have let go of its oldest.
}

// rests reports whether the view must write nothing now, for want of space.
func (f *follower) rests() bool {
	o := &f.r.o
	return f.yields && o.Short != nil && o.Short() || o.Full != nil && o.Full()
}

// next returns the groups behind the view's position, about applyBytesMax of them, none if it has them all. It goes no
// further than a call of Pin waits for, nor beyond the last durable group: one that calls Pin meanwhile waits for that.
func (f *follower) next() ([]*Group, error) {
	passed := f.passed.Load()
	r := f.r
	r.mu.Lock()
	last := f.limit(r.last)
	if passed >= last {
		r.mu.Unlock()
		return nil, nil
	}
	if n := len(r.tail); n > 0 && r.tail[0].Seq <= passed+1 {
		first := r.tail[0].Seq
		groups := cut(r.tail[passed+1-first : last+1-first])
		r.mu.Unlock()
		return groups, nil
	}
	r.mu.Unlock()
	groups, err := r.o.Source.Read(passed, applyBytesMax)
	if err != nil {
		return nil, fmt.Errorf("read the log behind group %d: %w", passed, err)
	}
	if len(groups) == 0 || groups[0].Seq != passed+1 {
		return nil, fmt.Errorf("group %d is gone from the log", passed+1)
	}
	if more := groups[len(groups)-1].Seq; more > last {
		groups = groups[:uint64(len(groups))-(more-last)]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range groups {
		g.Catalogue = r.catalogueOf(g.Seq)
	}
	return groups, nil
}

// cut returns a copy of the first groups, about applyBytesMax of them, at least one.
func cut(groups []*Group) []*Group {
	n, bytes := 0, 0
	for n < len(groups) && (n == 0 || bytes+groups[n].bytes() <= applyBytesMax) {
		bytes += groups[n].bytes()
		n++
	}
	return append([]*Group(nil), groups[:n]...)
}

// advance notes how far the view is, gives back what no view needs any more, and wakes the waiting readers.
func (f *follower) advance(seq uint64, lastMs int64) {
	r := f.r
	if r.o.Moved != nil {
		r.o.Moved(f.view, seq) // First: who has waited for the view finds that memory has let go.
	}
	f.passed.Store(seq)
	f.passedMs.Store(lastMs)
	r.mu.Lock()
	defer r.mu.Unlock()
	passed := r.applied()
	close(f.moved)
	f.moved = make(chan struct{})
	drop := 0
	for drop < len(r.tail) && r.tail[drop].Seq <= passed {
		r.bytes -= r.tail[drop].bytes()
		r.tail[drop] = nil
		drop++
	}
	r.tail = r.tail[drop:]
	for len(r.catalogues) > 1 && r.catalogues[1].from <= passed+1 {
		r.catalogues = r.catalogues[1:]
	}
}
