package log

import (
	"context"
	"errors"
	"fmt"

	"github.com/meterd/meterd/retention/disk"
)

// Replay calls fn for every group from `from` on, in order and whole. It proves on the way that nothing is missing and
// nothing was changed: sequence, checksums, and the hash chain, also from one segment to the next. A log that ends
// before from-1 or begins after from is an error. The group is valid until fn returns; reading goes on ahead of it in
// the background. What is appended meanwhile is not replayed.
func (l *Log) Replay(from uint64, fn func(*Group) error) error {
	from = max(from, 1)
	r, err := l.newReplay(from)
	if err != nil {
		return fmt.Errorf("replay the commit log from group %d: %w", from, err)
	}
	_ = l.enter(context.Background()) // It has no end.
	defer l.leave()
	go r.run()
	defer func() {
		close(r.stop)
		for range r.full { // Its goroutine ends the channel when it has let go of the files.
		}
	}()
	for b := range r.full {
		for i := range b.groups {
			if err := fn(&b.groups[i]); err != nil {
				return err
			}
		}
		if b.err != nil {
			return fmt.Errorf("replay the commit log from group %d: %w", from, b.err)
		}
		r.free <- b
	}
	return nil
}

// replay reads ahead, batch by batch.
type replay struct {
	log        *Log
	next, last uint64
	before     Chain // of the group before next, once known
	known      bool

	free, full chan *batch
	stop       chan struct{}
}

var errStopped = errors.New("replay was stopped")

func (l *Log) newReplay(from uint64) (*replay, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.firstLocked()
	switch {
	case from > l.last+1:
		return nil, disk.Damage(
			l.opts.Path,
			"it ends with group %d, but a checkpoint or its caller saw group %d",
			l.last,
			from-1,
		)
	case from < first:
		return nil, fmt.Errorf("%q: group %d: %w, the log begins with group %d, and no checkpoint reaches so far: "+
			"put this data directory back from a backup", l.opts.Path, from, ErrGone, first)
	}
	r := &replay{
		log: l, next: from, last: l.last,
		free: make(chan *batch, replayBatches), full: make(chan *batch, replayBatches), stop: make(chan struct{}),
	}
	for range replayBatches {
		r.free <- &batch{}
	}
	return r, nil
}

// run fills batches until the end, an error or stop.
func (r *replay) run() {
	defer close(r.full)
	for r.next <= r.last {
		if err := r.readSegment(); err != nil {
			if !errors.Is(err, errStopped) {
				r.full <- &batch{err: err}
			}
			return
		}
	}
}

// readSegment reads what is wanted of the segment that has the next group.
func (r *replay) readSegment() error {
	v := r.hold()
	if v == nil {
		return fmt.Errorf("group %d: %w, its segment was released during the replay", r.next, ErrGone)
	}
	defer r.log.letGo(v)
	c, err := r.cursor(v)
	if err != nil {
		return err
	}
	for !c.done() {
		var b *batch
		select {
		case b = <-r.free:
		case <-r.stop:
			return errStopped
		}
		err := c.read(b, replayBatchBytes)
		b.dropBefore(r.next)
		b.err = damagedAt(v.path, err) // What was read before the damage is given.
		r.next = c.next
		r.full <- b
		if err != nil {
			return errStopped
		}
	}
	if c.until == v.last && c.before != v.chain {
		return disk.Damage(
			v.path,
			"its last group %d is not the one that the next segment follows: the hash chain is broken",
			c.until,
		)
	}
	r.before, r.known = c.before, true
	return nil
}

func (r *replay) hold() *view {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segments {
		if s.first <= r.next && r.next <= s.last {
			return l.hold(s)
		}
	}
	return nil
}

// cursor opens a segment where reading must begin. The group before the first one that is wanted is read, too, if it
// lies in the segment; else the header has its Chain.
func (r *replay) cursor(v *view) (c cursor, err error) {
	if r.next == v.first {
		if r.known && v.before != r.before {
			return c, disk.Damage(v.path, "its header does not continue group %d: the hash chain is broken", r.next-1)
		}
		if err := v.openFile(); err != nil {
			return c, err
		}
		c = v.cursor()
	} else {
		if err := r.log.open(context.Background(), v); err != nil {
			return c, err
		}
		c = v.cursorAt(v.lastWhere(func(e *entry) bool { return e.seq < r.next }))
	}
	c.until = min(c.until, r.last)
	return c, nil
}
